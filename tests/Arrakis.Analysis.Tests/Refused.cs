using Arrakis.Native;

namespace Arrakis.Analysis.Tests;

/// <summary>What a measure does not take: one line that says what is wrong and what to do.</summary>
internal static class Refused
{
    public static void With(string message, Action measure) => Assert.Equal(message, Assert.Throws<ArrakisException>(measure).Message);

    /// <summary>Refuses a cache that was continued: its patterns reach back past what it holds.</summary>
    public static void Continued(Action<LlamaModel, ActivationCache> measure)
    {
        using LlamaModel model = LlamaModel.CreateRandom(ResidualsTests.Small.Config, 1);
        using LlamaSession session = model.CreateSession(RecordingPlan.All);
        session.Forward([3, 7, 1]);
        session.Append([3, 7, 1]);
        With("the cache continues a sequence after 3 tokens: run the whole sequence with Forward", () => measure(model, session.Cache));
    }

    /// <summary>The message holds this, and is one line for people.</summary>
    public static void Saying(string expected, Func<object> call)
    {
        string message = Assert.Throws<ArrakisException>(call).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        OneLine(message);
    }

    public static void OneLine(string message)
    {
        Assert.DoesNotContain('\n', message);
        Assert.DoesNotContain("   at ", message, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", message, StringComparison.Ordinal);
    }
}
