using System.Numerics;
using Arrakis.Analysis.Numerics;
using Arrakis.Native.Tests.Reference;
using Arrakis.Native.Tests.Support;
using CsCheck;

namespace Arrakis.Analysis.Tests;

/// <summary>The eigenvalue solvers and the factor of a Gram matrix, against the reference's own methods (Jacobi, complex QR) and spectra that are known.</summary>
public sealed class CompositionSolverTests
{
    // A backward stable method is off by a modest multiple of n · 2^-52 of the norm.
    private const double Tolerance = 1e-12;

    private static Gen<Matrix> Square { get; } =
        from n in Gen.OneOf(1, 2, 3, 4, 5, 8, 13, 32, 64)
        from seed in Gen.Int[0, int.MaxValue]
        select Random(n, n, seed);

    [Fact]
    public void Symmetric_eigenvalues_equal_the_reference() => Square.Sample(m =>
    {
        Matrix symmetric = Matrix.Build(m.Rows, m.Rows, (r, c) => m[r, c] + m[c, r]);
        Close.ToLargest(Eigen.Symmetric(symmetric), Symmetric(symmetric), Tolerance, "eigenvalues");
    }, iter: 60);

    [Fact]
    public void Symmetric_eigenvalues_of_low_rank_are_zeros_and_squares() => Gen.Select(Gen.Int[1, 20], Gen.Int[0, 6], Gen.Int[0, int.MaxValue]).Sample((n, rank, seed) =>
    {
        Matrix a = Random(n, rank, seed), gram = a * a.Transpose();
        double[] values = Symmetric(gram);
        Close.ToLargest(Eigen.Symmetric(gram), values, Tolerance, "eigenvalues");
        Assert.All(values.Skip(rank), v => Assert.True(Math.Abs(v) <= Tolerance * Math.Max(1, values[0])));
    }, iter: 60);

    [Fact]
    public void Symmetric_eigenvalues_that_are_known()
    {
        Assert.Empty(Symmetric(new Matrix(0, 0)));
        Assert.Equal([-3.0], Symmetric(new Matrix(1, 1, [-3])));
        Assert.Equal([0.0, 0.0, 0.0], Symmetric(new Matrix(3, 3)));
        Assert.Equal([7.0, 2.0, -1.0], Symmetric(new Matrix(3, 3, [2, 0, 0, 0, -1, 0, 0, 0, 7])));
        Close.ToLargest([3, 1], Symmetric(new Matrix(2, 2, [2, 1, 1, 2])), Tolerance, "2×2");
        // Every shift is an eigenvalue's midpoint: the pair ±1 of a swap.
        Close.ToLargest([1, -1], Symmetric(new Matrix(2, 2, [0, 1, 1, 0])), Tolerance, "a swap");
        // A chain of springs: 2 − 2 cos(jπ / (n + 1)).
        const int N = 30;
        Matrix chain = Matrix.Build(N, N, (r, c) => r == c ? 2 : Math.Abs(r - c) == 1 ? -1 : 0);
        double[] expected = [.. Enumerable.Range(1, N).Select(j => 2 - 2 * Math.Cos(j * Math.PI / (N + 1))).OrderDescending()];
        Close.ToLargest(expected, Symmetric(chain), Tolerance, "a chain");
        // One of rank one, of which all eigenvalues but one are the same zero.
        Close.ToLargest([.. Enumerable.Repeat(0.0, N - 1).Prepend(N)], Symmetric(Matrix.Build(N, N, (_, _) => 1)), Tolerance, "ones");
    }

    [Fact]
    public void Symmetric_eigenvalues_of_no_numbers_are_an_error() =>
        Assert.Throws<InvalidOperationException>(() => Symmetric(Matrix.Build(4, 4, (_, _) => double.NaN)));

    [Fact]
    public void General_eigenvalues_equal_the_reference() => Square.Sample(m =>
        // Of the norm; the eigenvalues of a random matrix are seldom worse conditioned than 1e4.
        Same(Eigen.General(m), General(m), 1e-9 * m.FrobeniusNorm()), iter: 60);

    [Fact]
    public void General_eigenvalues_do_not_depend_on_the_units_of_each_index() => Square.Sample(m =>
    {
        // A similarity by powers of two, which balancing finds and takes back.
        Matrix scaled = Matrix.Build(m.Rows, m.Rows, (r, c) => Math.ScaleB(m[r, c], (r * 7 % 31 - c * 7 % 31) * 2));
        Same(General(m), General(scaled), 1e-9 * m.FrobeniusNorm());
    }, iter: 40);

    [Fact]
    public void General_eigenvalues_that_are_known()
    {
        Assert.Empty(General(new Matrix(0, 0)));
        Assert.Equal([-3], General(new Matrix(1, 1, [-3])));
        Assert.Equal([0, 0, 0, 0], General(new Matrix(4, 4)));
        Assert.Equal([0, 0, 0, 0], General(Matrix.Build(4, 4, (r, c) => c == r + 1 ? 1 : 0)));
        Same([5, -1], General(new Matrix(2, 2, [1, 4, 2, 3])), Tolerance);
        Same([new(1, 2), new(1, -2)], General(new Matrix(2, 2, [1, 2, -2, 1])), Tolerance);
        // The companion of (x − 1)(x − 2)(x − 3).
        Same([1, 2, 3], General(new Matrix(3, 3, [6, -11, 6, 1, 0, 0, 0, 1, 0])), 1e-11);
    }

    [Fact]
    public void General_eigenvalues_of_turns_are_pairs_on_the_circle()
    {
        double[] angles = [0.1, 1, 2, 3];
        Matrix turns = Matrix.Build(8, 8, (r, c) => r / 2 != c / 2 ? 0 : r == c ? Math.Cos(angles[r / 2]) : (r < c ? -1 : 1) * Math.Sin(angles[r / 2]));
        // Seen from another basis, orthogonal: a reflection.
        double[] v = [.. Random(1, 8, 3).Data];
        Matrix mirror = Matrix.Build(8, 8, (r, c) => (r == c ? 1 : 0) - 2 * v[r] * v[c] / Vec.Dot(v, v));
        Complex[] expected = [.. angles.SelectMany(a => new[] { Complex.FromPolarCoordinates(1, a), Complex.FromPolarCoordinates(1, -a) })];
        Same(expected, General(turns), Tolerance);
        Same(expected, General(mirror * turns * mirror), Tolerance);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(7)]
    [InlineData(64)]
    public void General_eigenvalues_of_a_cycle_are_the_roots_of_one(int n)
    {
        // A permutation is its own QR step under plain shifts: only strange ones move it.
        Matrix cycle = Matrix.Build(n, n, (r, c) => c == (r + 1) % n ? 1 : 0);
        Same([.. Enumerable.Range(0, n).Select(j => Complex.FromPolarCoordinates(1, 2 * Math.PI * j / n))], General(cycle), 1e-11);
    }

    [Fact]
    public void General_eigenvalues_of_a_defective_matrix_lie_within_the_root_of_rounding()
    {
        // A Jordan block of m = 3 for 2 beside 5, seen from another basis: rounding moves the triple by its cube root, 1e-5.
        Matrix jordan = new(4, 4, [2, 1, 0, 0, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0, 0, 5]);
        Matrix basis = new(4, 4, [1, 2, 0, 1, 0, 1, 3, 0, 0, 0, 1, -1, 0, 0, 0, 1]);
        Matrix inverse = new(4, 4, [1, -2, 6, 5, 0, 1, -3, -3, 0, 0, 1, 1, 0, 0, 0, 1]);
        Complex[] values = General(basis * jordan * inverse);
        Same([2, 2, 2, 5], values, 1e-3);
        // Their sum is the trace whatever they are.
        Close.To(11, values.Sum(v => v.Real), 1e-10, "the trace");
    }

    [Fact]
    public void A_factor_gives_its_Gram_matrix_back() => Gen.Select(Gen.Int[1, 40], Gen.OneOf(0, 1, 3, 17, 64), Gen.Int[0, int.MaxValue]).Sample((n, d, seed) =>
    {
        // Vectors of very different lengths, some of none: an entry must be right beside the lengths of its own two.
        Matrix x = Matrix.Build(n, Math.Max(1, d), (r, c) => d == 0 || r % 7 == 3 ? 0 : Math.ScaleB(Random(1, 1, seed ^ (r * 997 + c)).Data[0], r * 5 % 37 - 18));
        Matrix gram = x * x.Transpose();
        double[] factor = new double[n * n];
        GramFactor.Compute([.. gram.Data.Select(v => (float)v)], factor);
        var f = new Matrix(n, n, factor);
        Matrix made = f.Transpose() * f;
        for (int r = 0; r < n; r++)
        {
            // Rounding of the float32 entries, 6e-8, and what is dropped as rounding, 4.8e-7.
            for (int c = 0; c < n; c++)
                Close.To(gram[r, c], made[r, c], 2e-6, $"[{r}, {c}]", Math.Sqrt(gram[r, r] * gram[c, c]));
        }

        Assert.All(Enumerable.Range(0, n).Where(r => r >= d), r => Assert.All(f.Row(r).ToArray(), v => Assert.Equal(0, v)));
    }, iter: 60);

    private static Matrix Random(int rows, int columns, int seed)
    {
        var random = new Random(seed);
        return Matrix.Build(rows, columns, (_, _) => 2 * random.NextDouble() - 1);
    }

    private static double[] Symmetric(Matrix m)
    {
        double[] values = new double[m.Rows];
        SymmetricEigenvalues.Solve([.. m.Data], values);
        return values;
    }

    private static Complex[] General(Matrix m)
    {
        var values = new Complex[m.Rows];
        Eigenvalues.Solve([.. m.Data], values);
        return values;
    }

    /// <summary>The same values in any order: each expected one takes the nearest of those left.</summary>
    private static void Same(Complex[] expected, Complex[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        List<Complex> left = [.. actual];
        foreach (Complex value in expected)
        {
            Complex nearest = left.MinBy(v => (v - value).Magnitude);
            Assert.True((nearest - value).Magnitude <= tolerance, $"{value} is not among {string.Join(", ", actual)}: the nearest left is {nearest}");
            left.Remove(nearest);
        }
    }
}
