using System.CommandLine;
using Arrakis.Native;

namespace Arrakis.Cli;

/// <summary>The <c>arrakis</c> command: parses the call, runs it, and turns every failure into one line and an exit code.</summary>
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

        ParseResult call = Commands.Root(cancellation.Token).Parse(args);
        if (call.Errors.Count > 0)
            return Fail(WrongCall, call.Errors[0].Message, null, verbose: false);
        bool verbose = call.GetValue(Commands.Verbose);
        try
        {
            return call.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (OperationCanceledException)
        {
            return Cancelled;
        }
        catch (UsageException e)
        {
            return Fail(WrongCall, e.Message, e, verbose);
        }
        catch (Exception e) when (e is ArrakisException or IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            return Fail(Failed, e.Message, e, verbose);
        }
    }

    private static int Fail(int code, string message, Exception? e, bool verbose)
    {
        Console.Error.WriteLine($"arrakis: {message.ReplaceLineEndings(" ")}");
        if (verbose && e is not null)
            Console.Error.WriteLine(e);
        return code;
    }
}

/// <summary>A call that makes no sense: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
