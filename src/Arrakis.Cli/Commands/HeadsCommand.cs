using System.CommandLine;

namespace Arrakis.Cli.Commands;

/// <summary><c>arrakis heads</c>: which heads of a layer write, and which read a direction.</summary>
internal sealed class HeadsCommand : Command
{
    public HeadsCommand(Terminal terminal, Input input)
        : base("heads", "Which heads of a layer write to the residual stream, and which read a direction of it")
    {
        Add(new HeadsWriteCommand(terminal, input));
        Add(new HeadsReadCommand(terminal, input));
    }
}
