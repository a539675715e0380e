namespace Arrakis.Native.Kernels;

/// <summary>
/// How the tokens of a product that workers share are divided: vectors of them in panels as equal as can be, and runs of panels in parts. The outputs of a part are shared
/// out among workers; of many workers, each would have too few of them.
/// </summary>
/// <param name="Tokens">How many.</param>
/// <param name="Lanes">Tokens of a vector.</param>
/// <param name="Panels">How many panels.</param>
/// <param name="Parts">How many parts; a divisor of the panels.</param>
/// <param name="Wide">Whether the panels are those of <see cref="IKernels.WideTile"/>.</param>
internal readonly record struct Cut(int Tokens, int Lanes, int Panels, int Parts, bool Wide = false)
{
    /// <summary>At most so many parts, and in each as few panels of at most so many vectors as can be; of no tokens none.</summary>
    public static Cut Of(int tokens, int lanes, int mostVectors, int mostParts)
    {
        if (tokens == 0)
            return new(0, lanes, 0, 0);
        int vectors = (tokens + lanes - 1) / lanes;
        for (int parts = Math.Max(1, mostParts); ; parts--)
        {
            // Where panels are one vector wide, their number may not fall into so many equal runs.
            int most = parts * mostVectors, panels = (vectors + most - 1) / most * parts;
            if (panels <= vectors)
                return new(tokens, lanes, panels, parts);
        }
    }

    /// <summary>Vectors of tokens. Kept, as every panel is found by it.</summary>
    public int Vectors { get; } = (Tokens + Lanes - 1) / Lanes;

    /// <summary>The first panel of a part; of the one after the last, how many panels there are.</summary>
    public int FirstPanel(int part) => Panels / Parts * part;

    /// <summary>
    /// The first token of a panel; of the one after the last, where the last vector ends. The first panel is none of the narrower ones: its tiles are those beside which rows
    /// are widened, and they have more multiply-adds to hide it behind.
    /// </summary>
    public int Start(int panel) => (int)(((long)Vectors * panel + Panels - 1) / Panels) * Lanes;

    /// <summary>Tokens of a panel with those that fill its last vector.</summary>
    public int Width(int panel) => Start(panel + 1) - Start(panel);

    /// <summary>Tokens of a panel.</summary>
    public int Count(int panel) => Math.Min(Width(panel), Tokens - Start(panel));

    /// <summary>The panel that a token is in.</summary>
    public int PanelOf(int token) => (int)((long)(token / Lanes) * Panels / Vectors);
}

/// <summary>Activations packed for <see cref="IKernels.Tile"/>: panels of tokens side by side, [depth, tokens of the panel].</summary>
/// <param name="data">Panel after panel.</param>
/// <param name="depth">Floats of a token.</param>
/// <param name="cut">The tokens.</param>
internal readonly unsafe struct Panels(float* data, int depth, Cut cut)
{
    public readonly float* Data = data;
    public readonly int Depth = depth;
    public readonly Cut Cut = cut;

    public int Tokens => Cut.Tokens;

    public Panel this[int index] => new(this, index);
}

/// <summary>One panel of tokens.</summary>
internal readonly unsafe struct Panel(in Panels x, int index)
{
    private readonly nint _depth = x.Depth;
    private readonly float* _data = x.Data;

    /// <summary>Its first token.</summary>
    public readonly int Start = x.Cut.Start(index);

    /// <summary>Its tokens, with those that fill its last vector.</summary>
    public readonly int Width = x.Cut.Width(index);

    /// <summary>Its tokens.</summary>
    public readonly int Tokens = x.Cut.Count(index);

    /// <summary>Where it has input <paramref name="k"/>.</summary>
    public float* At(int k) => _data + Start * _depth + (nint)k * Width;
}
