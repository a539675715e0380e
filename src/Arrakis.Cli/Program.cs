using System.CommandLine;
using System.Runtime.InteropServices;
using Arrakis.Cli.Commands;
using Arrakis.Native;
using Arrakis.Native.Weights;

namespace Arrakis.Cli;

/// <summary>The <c>arrakis</c> command: parses the call, runs it, and turns every failure into one line and an exit code.</summary>
/// <remarks>
/// A call is wrong (2) where its own words show it: an option that there is not, a value that no model could make right, two answers to one question; and where its
/// source comes after its destination, however the two are written. What only the model, the input or a file shows (a layer past the model, a position past the
/// input) failed (1), and so did what nobody foresaw.
/// </remarks>
internal static class Program
{
    private const int Failed = 1;
    private const int WrongCall = 2;
    private const int Cancelled = 130;
    private const int HungUp = 129;
    private const int Terminated = 143;

    // A text may begin with @; the parser would read a file of that name.
    private static readonly ParserConfiguration s_literal = new() { ResponseFileTokenReplacer = null };

    private static int Main(string[] args)
    {
        using var cancellation = new CancellationTokenSource();
        int stopped = Cancelled;
        using PosixSignalRegistration interrupt = StopOn(PosixSignal.SIGINT, Cancelled);
        using PosixSignalRegistration terminate = StopOn(PosixSignal.SIGTERM, Terminated);
        using PosixSignalRegistration hangUp = StopOn(PosixSignal.SIGHUP, HungUp);
        int code = Run(args, Console.Out, Console.Error, cancellation.Token);
        return code == Cancelled ? stopped : code;

        PosixSignalRegistration StopOn(PosixSignal signal, int exitCode) => PosixSignalRegistration.Create(signal, context =>
        {
            // The first asks the work to stop and to clear up behind it. The second ends the process at once, whatever it waits for.
            if (cancellation.IsCancellationRequested)
                return;
            context.Cancel = true;
            stopped = exitCode;
            cancellation.Cancel();
        });
    }

    /// <summary>One call from its arguments to its exit code.</summary>
    internal static int Run(string[] args, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        bool verbose = false;
        try
        {
            var root = new ArrakisCommand(new Terminal(output, error, cancellation));
            ParseResult call = root.Parse(args, s_literal);
            if (call.Errors.Count > 0)
                return Fail(error, WrongCall, Advice(call), null, verbose);
            verbose = call.GetValue(root.Verbose);
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
        catch (Exception e)
        {
            return Fail(error, Failed, $"{e.GetType().Name}: {e.Message.TrimEnd('.')}: this is a fault of the program; --verbose shows where it is", e, verbose);
        }
    }

    /// <summary>What is wrong with the call; the parser's own messages do not say what to do.</summary>
    private static string Advice(ParseResult call)
    {
        string message = call.UnmatchedTokens.Where(word => word.Length > 0)
            .Aggregate(call.Errors[0].Message, (said, word) => said.Replace(word, Said.Name(word), StringComparison.Ordinal));
        if (message.StartsWith("--", StringComparison.Ordinal))
            return message;
        string command = "";
        for (Command? at = call.CommandResult.Command; at is not null and not RootCommand; at = at.Parents.OfType<Command>().FirstOrDefault())
            command = $" {at.Name}{command}";
        return $"{message.TrimEnd('.')}: see arrakis{command} --help";
    }

    private static int Fail(TextWriter error, int code, string message, Exception? e, bool verbose)
    {
        Terminal.Say(error, $"arrakis: {Said.OneLine(message.ReplaceLineEndings(" "))}");
        if (verbose && e is not null)
            Terminal.Say(error, e.ToString());
        return code;
    }
}

/// <summary>A call that makes no sense: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
