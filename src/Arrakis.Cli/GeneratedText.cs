using System.Text;
using Arrakis.Text;

namespace Arrakis.Cli;

/// <summary>What a model writes, token by token: shown after its prompt as it comes, on a line that ends whatever happens; and kept.</summary>
internal sealed class GeneratedText : IDisposable
{
    private readonly Terminal? _terminal;
    private readonly StreamingDecoder? _decoder;
    private readonly StringBuilder _text = new();
    private bool _isOpen;

    /// <param name="tokenizer">Whose text it is; null where there is none.</param>
    /// <param name="terminal">Where it is shown; null to keep it only.</param>
    /// <param name="prompt">What it continues.</param>
    public GeneratedText(Tokenizer? tokenizer, Terminal? terminal, int[] prompt)
    {
        _decoder = tokenizer?.CreateDecoder();
        _terminal = _decoder is null ? null : terminal;
        foreach (int id in prompt)
            Show(_decoder?.Next(id));
    }

    /// <summary>A token more.</summary>
    public void Add(int id)
    {
        string? more = _decoder?.Next(id);
        _text.Append(more);
        Show(more);
    }

    /// <summary>The text without its prompt; null without a tokenizer.</summary>
    public string? End()
    {
        string? rest = _decoder?.End();
        _text.Append(rest);
        Show(rest);
        Dispose();
        return _decoder is null ? null : _text.ToString();
    }

    /// <summary>Ends the line, also of what was broken off.</summary>
    public void Dispose()
    {
        if (_isOpen)
            _terminal?.Text("\n");
        _isOpen = false;
    }

    private void Show(string? text)
    {
        if (string.IsNullOrEmpty(text) || _terminal is null)
            return;
        _terminal.Text(text);
        _isOpen = true;
    }
}
