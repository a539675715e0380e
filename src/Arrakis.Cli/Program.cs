using System.CommandLine;
using Arrakis.Cli.Commands;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The <c>arrakis</c> command: parses the call, runs it, and turns every failure into one line and an exit code.</summary>
/// <remarks>
/// A call is wrong (2) where its own words show it: an option that there is not, a value that no model could make right, two answers to one question. What only the
/// model, the input or a file shows (a layer past the model, a position past the input, a source after the destination once both are counted) failed (1).
/// </remarks>
internal static class Program
{
    private const int Failed = 1;
    private const int WrongCall = 2;
    private const int Cancelled = 130;

    private static int Main(string[] args)
    {
        using var cancellation = new CancellationTokenSource();
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = true;
            cancellation.Cancel();
        };
        return Run(args, Console.Out, Console.Error, cancellation.Token);
    }

    /// <summary>One call from its arguments to its exit code.</summary>
    internal static int Run(string[] args, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        var terminal = new Terminal(output, error, cancellation);
        var root = new ArrakisCommand(terminal);
        ParseResult call = root.Parse(args);
        if (call.Errors.Count > 0)
            return Fail(error, WrongCall, Advice(call), null, verbose: false);
        bool verbose = call.GetValue(root.Verbose);
        try
        {
            return call.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, Output = output, Error = error });
        }
        catch (OperationCanceledException)
        {
            return Cancelled;
        }
        catch (UsageException e)
        {
            return Fail(error, WrongCall, e.Message, e, verbose);
        }
        catch (Exception e) when (e is ArrakisException or IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            return Fail(error, Failed, e.Message, e, verbose);
        }
    }

    /// <summary>What is wrong with the call; the parser's own messages do not say what to do.</summary>
    private static string Advice(ParseResult call)
    {
        string message = call.Errors[0].Message;
        if (message.StartsWith("--", StringComparison.Ordinal))
            return message;
        string command = "";
        for (Command? at = call.CommandResult.Command; at is not null and not RootCommand; at = at.Parents.OfType<Command>().FirstOrDefault())
            command = $" {at.Name}{command}";
        return $"{message.TrimEnd('.')}: see arrakis{command} --help";
    }

    private static int Fail(TextWriter error, int code, string message, Exception? e, bool verbose)
    {
        error.WriteLine($"arrakis: {message.ReplaceLineEndings(" ")}");
        if (verbose && e is not null)
            error.WriteLine(e);
        return code;
    }
}

/// <summary>A call that makes no sense: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
