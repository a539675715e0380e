using Arrakis.Native;

namespace Arrakis.Interop;

/// <summary>An arrakis_model: open until its handle and every session over it are closed, for a session's analyses need it too.</summary>
internal sealed class Model(LlamaModel model) : IDisposable
{
    private readonly Lock _counting = new();
    private int _users = 1;

    public LlamaModel Engine => model;

    /// <summary>One more user, who disposes this when done.</summary>
    public Model Share()
    {
        lock (_counting)
        {
            ObjectDisposedException.ThrowIf(_users == 0, this);
            _users++;
            return this;
        }
    }

    public void Dispose()
    {
        lock (_counting)
        {
            if (--_users == 0)
                model.Dispose();
        }
    }
}
