using System.CommandLine;
using Arrakis.Benchmarks.Measuring;

namespace Arrakis.Benchmarks.Reach;

/// <summary><c>reach</c>: every claim about speed, wanted beside measured, in one process.</summary>
internal sealed class ReachCommand : Command
{
    public ReachCommand()
        : base("reach", "Every claim about speed: wanted, measured, reached or not. Ratios are medians of ratios taken within a round")
    {
        var choice = new Choice();
        choice.AddTo(this);
        SetAction(call => Run(choice.Only(call), choice.Effort(call)));
    }

    private static int Run(Func<string, bool> only, Effort effort)
    {
        ClaimGroup[] groups = [.. ClaimGroup.All.Where(group => only(group.Name))];
        if (groups.Length == 0)
        {
            Console.Error.WriteLine($"reach: no group has that in its name: use a part of {string.Join("; ", ClaimGroup.All.Select(group => group.Name))}");
            return 2;
        }

        foreach ((string name, string value) in Machine.Facts())
            Console.WriteLine($"{name}: {value}");
        Console.WriteLine();
        Measure(groups, effort, Console.Out);
        return 0;
    }

    /// <summary>Measures the groups one after the other, and writes their lines as they come.</summary>
    public static IReadOnlyList<Claim> Measure(IReadOnlyList<ClaimGroup> groups, Effort effort, TextWriter output)
    {
        using var rig = new Rig(effort);
        var claims = new List<Claim>();
        output.WriteLine(Claim.Header);
        foreach (ClaimGroup group in groups)
        {
            foreach (Claim claim in group.Measure(rig))
            {
                claims.Add(claim);
                output.WriteLine(claim);
            }
        }

        output.WriteLine();
        output.WriteLine($"{claims.Count(claim => claim.Reached == true)} of {claims.Count(claim => claim.Reached is not null)} reached");
        return claims;
    }
}
