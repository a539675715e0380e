using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Arrakis.Native.Weights;

namespace Arrakis.Cli;

/// <summary>Options whose refusals say what is wrong and what to do, in one line.</summary>
internal static class OptionOf
{
    /// <summary>A whole number, or what stands where none is given.</summary>
    public static Option<int> Integer(string name, string description, int standard, int least = 0, int most = int.MaxValue)
    {
        Option<int> option = Integer(name, description, least, most);
        option.Required = false;
        option.DefaultValueFactory = _ => standard;
        return option;
    }

    /// <summary>A whole number that must be given.</summary>
    public static Option<int> Integer(string name, string description, int least = 0, int most = int.MaxValue) => new(name)
    {
        Description = description,
        Required = true,
        HelpName = "N",
        CustomParser = argument => ParseInteger(argument, name, least, most),
    };

    /// <summary>A whole number, or null.</summary>
    public static Option<int?> OptionalInteger(string name, string description, int least = 0) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = argument => ParseInteger(argument, name, least, int.MaxValue),
    };

    /// <summary>A number for which <paramref name="fits"/> holds.</summary>
    public static Option<double> Number(string name, string description, double standard, Func<double, bool> fits, string use) => new(name)
    {
        Description = description,
        HelpName = "X",
        DefaultValueFactory = _ => standard,
        CustomParser = argument =>
        {
            string text = argument.Tokens[0].Value;
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) || !fits(value))
                argument.AddError($"{name} is '{Said.Name(text)}': use {use}");
            return value;
        },
    };

    /// <summary>One of a few words, the first of which stands where none is given: the value is null then.</summary>
    public static Option<T?> Choice<T>(string name, string description, params (string Word, T Value)[] choices)
        where T : struct
    {
        string[] words = [.. choices.Select(choice => choice.Word)];
        return Parsed<T>(
            name, $"{description} [default: {words[0]}]", string.Join('|', words), text => Array.IndexOf(words, text) is >= 0 and int i ? choices[i].Value : null,
            $"{string.Join(", ", words.SkipLast(1))} or {words[^1]}");
    }

    /// <summary>What a parser of its own reads; null where it is not given.</summary>
    public static Option<T?> Parsed<T>(string name, string description, string form, Func<string, T?> parse, string use)
        where T : struct => new(name)
        {
            Description = description,
            HelpName = form,
            CustomParser = argument =>
            {
                string text = argument.Tokens[0].Value;
                if (parse(text) is { } value)
                    return value;
                argument.AddError($"{name} is '{Said.Name(text)}': use {use}");
                return null;
            },
        };

    /// <summary>A range of layers, A-B.</summary>
    public static Option<(int First, int Last)?> Layers(string description) => Parsed<(int First, int Last)>("--layers", description, "A-B", ParseRange, "A-B, such as 0-3");

    private static (int First, int Last)? ParseRange(string text)
    {
        string[] ends = text.Split('-');
        return ends.Length <= 2 && int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
            && int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last) && first <= last
            ? (first, last)
            : null;
    }

    private static int ParseInteger(ArgumentResult argument, string name, int least, int most)
    {
        string text = argument.Tokens[0].Value;
        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < least || value > most)
            argument.AddError($"{name} is '{Said.Name(text)}': use a whole number{Range(least, most)}");
        return value;
    }

    private static string Range(int least, int most) =>
        most < int.MaxValue ? $" from {least} to {most}" : least > int.MinValue ? $", {least} or more" : "";
}
