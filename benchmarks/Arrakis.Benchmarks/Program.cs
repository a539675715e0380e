using System.CommandLine;
using Arrakis.Benchmarks;
using Arrakis.Benchmarks.Reach;
using Arrakis.Benchmarks.Results;
using BenchmarkDotNet.Running;

// `reach` and `results` are commands; anything else is for BenchmarkDotNet.
if (args is ["reach" or "results" or "--help" or "-h", ..])
{
    return new RootCommand("Arrakis.Native's benchmarks. Without a command: BenchmarkDotNet, whose own --help is behind it")
    {
        new ReachCommand(),
        new ResultsCommand(),
    }.Parse(args).Invoke();
}

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, BenchmarkConfig.Default);
return 0;
