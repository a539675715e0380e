using System.CommandLine;
using Arrakis.Benchmarks.Measuring;

namespace Arrakis.Benchmarks.Reach;

/// <summary><c>reach</c>: every claim about speed, wanted beside measured, in one process.</summary>
internal sealed class ReachCommand : Command
{
    /// <summary>How long it measures unless told otherwise.</summary>
    public static Effort Standard { get; } = new(Rounds: 60, Seconds: 10);

    private readonly Option<string> _only = new("--only") { Description = "Only groups whose name contains this", HelpName = "PATTERN", DefaultValueFactory = _ => "" };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Rounds of a group at the most", HelpName = "N", DefaultValueFactory = _ => Standard.Rounds };
    private readonly Option<double> _seconds = new("--seconds")
    {
        Description = "After which a group begins no further round; a few groups take a multiple of it, and none takes fewer than 5 rounds",
        HelpName = "S",
        DefaultValueFactory = _ => Standard.Seconds,
    };

    public ReachCommand()
        : base("reach", "Every claim about speed: wanted, measured, reached or not. Ratios are medians of ratios taken within a round")
    {
        foreach (Option option in new Option[] { _only, _rounds, _seconds })
            Add(option);
        _rounds.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1)
                result.AddError("--rounds takes a number of at least 1");
        });
        SetAction(call => Run(call.GetValue(_only)!, new Effort(call.GetValue(_rounds), call.GetValue(_seconds))));
    }

    private static int Run(string only, Effort effort)
    {
        ClaimGroup[] groups = [.. ClaimGroup.All.Where(group => group.Name.Contains(only, StringComparison.OrdinalIgnoreCase))];
        if (groups.Length == 0)
        {
            Console.Error.WriteLine($"reach: no group's name contains '{only}': use one of {string.Join("; ", ClaimGroup.All.Select(group => group.Name))}");
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
