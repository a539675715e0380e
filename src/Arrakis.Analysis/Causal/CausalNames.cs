namespace Arrakis.Analysis;

/// <summary>What documents call these.</summary>
internal static class CausalNames
{
    public static string Name(this AblationKind kind) => kind switch
    {
        AblationKind.Zero => "zero",
        AblationKind.Mean => "mean",
        AblationKind.Resample => "resample",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    public static string Name(this ReceiverInput input) => input switch
    {
        ReceiverInput.Q => "q",
        ReceiverInput.K => "k",
        ReceiverInput.V => "v",
        ReceiverInput.Logits => "logits",
        _ => throw new ArgumentOutOfRangeException(nameof(input), input, null),
    };
}
