using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Arrakis.Native.Kernels;
using Arrakis.Native.Memory;

namespace Arrakis.Native.Model;

// What is done to every token by itself, a few tokens an item.
internal sealed unsafe partial class ForwardPass<TKernels>
{
    private const int RowsPerItem = MatrixProduct<TKernels>.PackedAtOnce;

    private int RowItems => (_tokens + RowsPerItem - 1) / RowsPerItem;

    // An element goes through memory and a few instructions, about as long as eight multiply-adds of a product.
    private long RowWork(int width) => 8L * width * _tokens;

    private static float* Address(float[] pinned) => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned));

    /// <summary>
    /// x / r ∘ γ in <see cref="Normed"/>, and packed for the products that read it, unless that is one token's; the scale r and x / r go where they are wanted.
    /// </summary>
    private Panels Norm(int layer, HookPoint scale, HookPoint normalized, float* x, float[] gamma) => Norm(layer, scale, normalized, null, null, x, gamma);

    /// <summary>The stream grows, x = before + written, and is normed as it does; where a plan may change it, that comes in between.</summary>
    private Panels AddNorm(int layer, HookPoint stream, float* before, float* written, HookPoint scale, HookPoint normalized, float* x, float[] gamma)
    {
        if (Interventions is null)
            return Norm(layer, scale, normalized, before, written, x, gamma);
        Add(before, written, x);
        Intervene(layer, stream);
        return Norm(layer, scale, normalized, x, gamma);
    }

    private Panels Norm(int layer, HookPoint scale, HookPoint normalized, float* before, float* written, float* x, float[] gamma)
    {
        Panels panels = _callTokens == 1 ? default : new(Packed, _d, _cut);
        var job = new NormJob(
            before, written, x, Address(gamma), At(scale, layer), At(normalized, layer), Normed, panels, _d, _tokens, config.RmsNormEps);
        team.Run(job, RowItems, RowWork(_d));
        return InterveneNorm(layer, scale, normalized, x, gamma) ? Pack(Normed, _d) : panels;
    }

    private void SiluMultiply(float* gate, float* up, float* y) => team.Run(new SiluJob(gate, up, y, _f, _tokens), RowItems, RowWork(_f));

    private void Add(float* a, float* b, float* y) => team.Run(new AddJob(a, b, y, _d, _tokens), RowItems, RowWork(_d));

    /// <summary>rotQ = q rotated, of <paramref name="heads"/> heads; keys, rotated, and values go into the cache.</summary>
    private void RotateAndStore(int layer, int heads, float* q, float* k, float* v, float* rotQ)
    {
        float* rotK = workspace.Recorded(HookPoint.RotK, layer);
        var job = new RotateJob(
            config.HeadDim, heads, config.NumKeyValueHeads, _tokens, config.RotaryLayout, q, k, v, rotQ,
            rotK == null ? null : At(HookPoint.RotK, layer),
            cache.Keys(layer) + (nint)_position * cache.RowStride, cache.Values(layer) + (nint)_position * cache.RowStride, cache.RowStride, cache.HeadStride,
            Address(_rotary.Cos) + (nint)_position * (config.HeadDim / 2), Address(_rotary.Sin) + (nint)_position * (config.HeadDim / 2));
        team.Run(job, RowItems, RowWork(_q + 2 * _kv));
    }

    private readonly struct NormJob(
        float* before, float* written, float* x, float* gamma, float* scale, float* normalized, float* y, Panels panels, int d, int tokens, float epsilon) : IJob<NormJob>
    {
        private readonly float* _before = before, _written = written, _x = x, _gamma = gamma, _scale = scale, _normalized = normalized, _y = y;
        private readonly Panels _panels = panels;
        private readonly int _d = d, _tokens = tokens;
        private readonly float _epsilon = epsilon;

        public static void Run(in NormJob job, int item, int worker)
        {
            int first = item * RowsPerItem, d = job._d;
            for (nint t = first; t < Math.Min(job._tokens, first + RowsPerItem); t++)
            {
                float* x = job._x + t * d, normalized = job._normalized + t * d;
                if (job._written != null)
                    TKernels.Add(job._before + t * d, job._written + t * d, x, d);
                job._scale[t] = TKernels.Normalize(x, normalized, d, job._epsilon);
                TKernels.Multiply(normalized, job._gamma, job._y + t * d, d);
            }

            if (job._panels.Data != null)
                MatrixProduct<TKernels>.Pack(job._panels, job._y + (nint)first * d, d, first, 0, d);
        }
    }

    private readonly struct SiluJob(float* gate, float* up, float* y, int f, int tokens) : IJob<SiluJob>
    {
        private readonly float* _gate = gate, _up = up, _y = y;
        private readonly int _f = f, _tokens = tokens;

        public static void Run(in SiluJob job, int item, int worker)
        {
            for (nint t = item * RowsPerItem; t < Math.Min(job._tokens, (item + 1) * RowsPerItem); t++)
                TKernels.SiluMultiply(job._gate + t * job._f, job._up + t * job._f, job._y + t * job._f, job._f);
        }
    }

    private readonly struct AddJob(float* a, float* b, float* y, int d, int tokens) : IJob<AddJob>
    {
        private readonly float* _a = a, _b = b, _y = y;
        private readonly int _d = d, _tokens = tokens;

        public static void Run(in AddJob job, int item, int worker)
        {
            for (nint t = item * RowsPerItem; t < Math.Min(job._tokens, (item + 1) * RowsPerItem); t++)
                TKernels.Add(job._a + t * job._d, job._b + t * job._d, job._y + t * job._d, job._d);
        }
    }

    private readonly struct RotateJob(
        int headDim, int heads, int kvHeads, int tokens, RotaryLayout layout, float* q, float* k, float* v, float* rotQ, float* rotK,
        float* keys, float* values, int rowStride, nint headStride, float* cos, float* sin) : IJob<RotateJob>
    {
        private readonly int _headDim = headDim, _heads = heads, _kvHeads = kvHeads, _tokens = tokens, _rowStride = rowStride;
        private readonly RotaryLayout _layout = layout;
        private readonly float* _q = q, _k = k, _v = v, _rotQ = rotQ, _rotK = rotK, _keys = keys, _values = values, _cos = cos, _sin = sin;
        private readonly nint _headStride = headStride;

        public static void Run(in RotateJob job, int item, int worker)
        {
            for (nint t = item * RowsPerItem; t < Math.Min(job._tokens, (item + 1) * RowsPerItem); t++)
                RunToken(job, t);
        }

        private static void RunToken(in RotateJob job, nint t)
        {
            int k = job._headDim;
            float* cos = job._cos + t * (k / 2), sin = job._sin + t * (k / 2);
            for (int h = 0; h < job._heads; h++)
            {
                nint at = (t * job._heads + h) * k;
                TKernels.Rotate(job._q + at, job._rotQ + at, k, cos, sin, job._layout);
            }

            for (int g = 0; g < job._kvHeads; g++)
            {
                nint at = (t * job._kvHeads + g) * k;
                var key = new Span<float>(job._keys + g * job._headStride + t * job._rowStride, job._rowStride);
                var value = new Span<float>(job._values + g * job._headStride + t * job._rowStride, job._rowStride);
                fixed (float* rotated = key)
                    TKernels.Rotate(job._k + at, rotated, k, cos, sin, job._layout);
                new ReadOnlySpan<float>(job._v + at, k).CopyTo(value);
                key[k..].Clear();
                value[k..].Clear();
                if (job._rotK != null)
                    key[..k].CopyTo(new Span<float>(job._rotK + at, k));
            }
        }
    }
}
