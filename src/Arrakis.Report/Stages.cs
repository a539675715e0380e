namespace Arrakis.Report;

/// <summary>How far a report is, and whether it is still wanted.</summary>
internal sealed class Stages(IProgress<double>? progress, CancellationToken cancellation, double from = 0, double to = 1) : IProgress<double>
{
    public CancellationToken Cancellation => cancellation;

    /// <summary>Says how much is done, and stops where that was asked for.</summary>
    public void Done(double part)
    {
        cancellation.ThrowIfCancellationRequested();
        progress?.Report(from + part * (to - from));
    }

    /// <summary>A stage of this one.</summary>
    public Stages Part(double first, double last) => new(this, cancellation, first, last);

    void IProgress<double>.Report(double value) => Done(value);
}
