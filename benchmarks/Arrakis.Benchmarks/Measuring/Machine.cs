using System.Globalization;
using System.Numerics.Tensors;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text;
using System.Text.RegularExpressions;
using Arrakis.Benchmarks.Peers;
using Arrakis.Native;

namespace Arrakis.Benchmarks.Measuring;

/// <summary>What was measured on, and with which versions: every results file begins with it.</summary>
internal static partial class Machine
{
    /// <summary>The processor as the system names it, with family and model where it is an x86.</summary>
    public static string Processor { get; } = X86Base.IsSupported ? $"{NameOfSystem() ?? Brand()}, {FamilyAndModel()}" : $"{RuntimeInformation.ProcessArchitecture}";

    /// <summary>The processor as the name of a folder.</summary>
    public static string Folder { get; } = NotOfAName().Replace(Processor, "-").Trim('-').ToLowerInvariant();

    /// <summary>Names and values, in the order in which they are shown.</summary>
    public static IReadOnlyList<(string Name, string Value)> Facts() =>
    [
        ("date", DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)),
        ("processor", Processor),
        ("cores", Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture)),
        ("kernels", KernelTiers.Name(KernelTiers.Resolve(KernelTier.Auto))),
        ("runtime", RuntimeInformation.FrameworkDescription),
        ("system", RuntimeInformation.OSDescription),
        ("Arrakis.Native", VersionOf(typeof(LlamaModel))),
        ("System.Numerics.Tensors", VersionOf(typeof(TensorPrimitives))),
        ("BenchmarkDotNet", VersionOf(typeof(BenchmarkDotNet.Attributes.BenchmarkAttribute))),
        ("OpenBLAS", OpenBlas.Description),
        ("nice", OperatingSystem.IsWindows() ? "unknown" : Nice(0, 0).ToString(CultureInfo.InvariantCulture)),
    ];

    private static string VersionOf(Type type) =>
        type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private static string? NameOfSystem() => OperatingSystem.IsLinux()
        ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':', 2)[1].Trim()
        : null;

    private static string Brand()
    {
        var brand = new StringBuilder();
        for (int leaf = 0; leaf < 3; leaf++)
        {
            (int a, int b, int c, int d) = X86Base.CpuId(unchecked((int)0x80000002) + leaf, 0);
            brand.Append(Encoding.ASCII.GetString(MemoryMarshal.AsBytes([a, b, c, d])));
        }

        return brand.ToString().TrimEnd('\0').Trim();
    }

    private static string FamilyAndModel()
    {
        int signature = X86Base.CpuId(1, 0).Eax;
        int family = (signature >> 8) & 15, model = (signature >> 4) & 15;
        if (family is 6 or 15)
            model |= (signature >> 12) & 0xF0;
        if (family == 15)
            family += (signature >> 20) & 255;
        return string.Create(CultureInfo.InvariantCulture, $"family {family} model {model}");
    }

    [LibraryImport("libc", EntryPoint = "getpriority")]
    private static partial int Nice(int which, int who);

    [GeneratedRegex("[^A-Za-z0-9.]+")]
    private static partial Regex NotOfAName();
}
