using System.Text.Json;

namespace Arrakis.Report.Browser;

/// <summary>The page in Chromium: what it shows under the pointer, the keyboard and the slider are the numbers of the document.</summary>
public sealed class PageTests(Chromium chromium) : IClassFixture<Chromium>
{
    // Half of the last of four decimals, and of three.
    private const double Four = 0.5e-4, Three = 0.5e-3;

    private static readonly int[] s_mixed = [1, 5, 40, 17, 96, 3, 5, 40, 60, 2, 33, 5];

    [Fact]
    public async Task Predictions_are_the_documents()
    {
        await using Shown shown = await Golden();
        JsonElement[] tokens = [.. shown.Data.GetProperty("tokens").EnumerateArray()];
        Assert.Equal(tokens.Length, await shown.CountAsync(".chip"));
        await shown.Page.ClickAsync(".chip:nth-child(4)");
        JsonElement[] top = [.. tokens[3].GetProperty("top").EnumerateArray()];
        for (int i = 0; i < top.Length; i++)
        {
            string row = $".candidates tbody tr:nth-child({i + 1})";
            Assert.Equal(top[i].GetProperty("text").GetString(), await shown.TextAsync($"{row} th"));
            Assert.Equal(100 * top[i].GetProperty("prob").GetDouble(), Shown.Number((await shown.TextAsync($"{row} td:nth-of-type(2)")).Replace(" %", "", StringComparison.Ordinal)), 0.05);
        }

        shown.HasNoFaults();
    }

    [Fact]
    public async Task A_head_opens_large_and_the_pointer_reads_its_attention()
    {
        await using Shown shown = await Golden();
        await shown.Page.ClickAsync(".square[data-x='2'][data-y='1']");
        await shown.Page.WaitForSelectorAsync("#big[open] .over");
        Assert.StartsWith("L1H2", await shown.TextAsync("#big-title"));
        JsonElement rows = Pattern(shown.Data, 1, 2);
        foreach ((int query, int key) in new[] { (7, 3), (5, 5), (11, 0) })
        {
            await shown.Page.EvaluateFunctionAsync("() => document.querySelector('#big .over').scrollIntoView()");
            decimal[] at = await shown.Page.EvaluateFunctionAsync<decimal[]>(
                """
                (query, key) => {
                  const over = document.querySelector("#big .over"), box = over.getBoundingClientRect(), unit = document.querySelector("#big .large").unit;
                  const margin = -over.viewBox.baseVal.x;
                  return [box.left + margin + (key + 0.5) * unit, box.top + margin + (query + 0.5) * unit];
                }
                """, query, key);
            await shown.Page.Mouse.MoveAsync(at[0], at[1]);
            Assert.Equal(rows[query][key].GetDouble(), await shown.NumberAsync("#big-value"), Four + 1e-5);
            Assert.Equal($"{query} {key}", await shown.Page.EvaluateExpressionAsync<string>(
                "`${document.querySelector('#big text.here[data-query]').dataset.query} ${document.querySelector('#big text.here[data-key]').dataset.key}`"));
        }

        // Links: from the token that looks, one line to each that gets at least a hundredth.
        int linked = rows[11].EnumerateArray().Count(weight => Math.Round(weight.GetDouble() * 65535) / 65535 >= 0.01);
        Assert.Equal(linked, await shown.CountAsync("#big .links .link"));

        // The next head by its button, at what the same token looks at most there; by the keyboard, one row up.
        await shown.Page.ClickAsync("#big .movers button:nth-child(2)");
        Assert.StartsWith("L1H3", await shown.TextAsync("#big-title"));
        await shown.Page.FocusAsync("#big .over");
        await shown.Page.Keyboard.PressAsync("ArrowUp");
        JsonElement next = Pattern(shown.Data, 1, 3);
        int most = Enumerable.Range(0, 12).MaxBy(s => next[11][s].GetDouble());
        Assert.Equal(next[10][Math.Min(most, 10)].GetDouble(), await shown.NumberAsync("#big-value"), Four + 1e-5);
        await shown.Page.Keyboard.PressAsync("Escape");
        Assert.Equal(0, await shown.CountAsync("#big[open]"));
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Writes_are_read_off_the_map_and_by_token()
    {
        await using Shown shown = await Golden();
        JsonElement[] layers = [.. shown.Data.GetProperty("writes").GetProperty("layers").EnumerateArray()];
        int marked = layers.Sum(layer => layer.GetProperty("selected").GetArrayLength());
        Assert.Equal(marked, await shown.CountAsync("#writes .map .marked"));

        await shown.Page.ClickAsync("#writes .map .cell[data-x='4'][data-y='2']");
        JsonElement head = layers[2].GetProperty("heads")[4];
        Assert.Equal(head.GetProperty("strength").GetDouble(), await shown.NumberAsync("#write-strength"), Three);
        await shown.Page.ClickAsync("#writes .bars .bar[data-x='6']");
        Assert.Equal(head.GetProperty("norm")[6].GetDouble(), await shown.NumberAsync("#write-here"), Three);
        // The token that was chosen here is chosen everywhere.
        Assert.Equal("true", await shown.Page.EvaluateExpressionAsync<string>("document.querySelector('.chip:nth-child(7)').getAttribute('aria-pressed')"));

        // Shares of a layer at one token sum to 1, and the row's end says so.
        await shown.Page.ClickAsync("#writes input[value='share']");
        await shown.Page.ClickAsync("#writes input[value='token']");
        string[] ends = await Texts(shown, "#writes .map .end");
        Assert.NotEmpty(ends);
        Assert.All(ends, sum => Assert.Equal(1, Shown.Number(sum), Three));
        Assert.Equal(head.GetProperty("share")[6].GetDouble(), Said(await Label(shown, "#writes .map .cell[data-x='4'][data-y='2']")), Three);
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Reads_follow_the_direction_that_is_chosen()
    {
        await using Shown shown = await Golden(new ReportOptions { Dimension = 7 });
        JsonElement read = shown.Data.GetProperty("reads")[shown.Data.GetProperty("reads_open").GetInt32()];
        Assert.Equal("7", await shown.Page.EvaluateExpressionAsync<string>("document.querySelector('#reads select').selectedOptions[0].textContent"));
        Assert.Equal(read.GetProperty("layers")[1].GetProperty("strength")[3].GetDouble(), Said(await Label(shown, "#reads .map .cell[data-x='3'][data-y='1']")), Three);

        await shown.Page.ClickAsync("#reads input[value='embedding']");
        JsonElement[] embeddings = [.. shown.Data.GetProperty("reads").EnumerateArray().Where(one => one.GetProperty("kind").GetString() == "embedding")];
        Assert.Equal(embeddings.Length, await shown.CountAsync("#reads select option"));
        string second = await shown.Page.EvaluateExpressionAsync<string>("document.querySelector('#reads option:nth-child(2)').value");
        await shown.Page.SelectAsync("#reads select", second);
        await shown.Page.ClickAsync("#reads .map .cell[data-x='1'][data-y='2']");
        JsonElement layer = shown.Data.GetProperty("reads")[int.Parse(second, System.Globalization.CultureInfo.InvariantCulture)].GetProperty("layers")[2];
        string[] bars = await Texts(shown, "#reads .few span");
        string[] names = ["q", "k", "v", "q_share", "k_share", "v_share"];
        for (int i = 0; i < names.Length; i++)
            Assert.Equal(layer.GetProperty(names[i])[1].GetDouble(), Shown.Number(bars[i]), Three);
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Composition_draws_as_many_arcs_as_the_slider_says()
    {
        await using Shown shown = await Golden();
        Assert.Equal(12, await shown.CountAsync("#composition .arc"));
        await Slide(shown, "#composition input[type=range]", 5);
        Assert.Equal(5, await shown.CountAsync("#composition .arc"));
        JsonElement kind = shown.Data.GetProperty("composition").EnumerateArray().First(one => one.GetProperty("kind").GetString() == "v");
        await shown.Page.ClickAsync("#composition input[value='v']");
        string[] cells = await Texts(shown, "#composition tbody tr:first-child td");
        JsonElement best = kind.GetProperty("scores")[0];
        Assert.Equal(best.GetProperty("score").GetDouble(), Shown.Number(cells[0]), Three);
        Assert.Equal(best.GetProperty("normalized").GetDouble(), Shown.Number(cells[1]), 0.05);
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Sources_add_up_to_the_logit_and_say_so()
    {
        await using Shown shown = await Golden();
        JsonElement logit = shown.Data.GetProperty("logit");
        double sum = logit.GetProperty("sources").EnumerateArray().Sum(source => source.GetProperty("flow").GetDouble());
        Assert.Equal(sum, await shown.NumberAsync("#sources-sum"), Four);
        Assert.Equal(logit.GetProperty("logit").GetDouble(), await shown.NumberAsync("#logit-expected"), Four);
        Assert.Equal(await shown.TextAsync("#logit-expected"), await shown.TextAsync("#sources-sum"));
        await shown.Page.ClickAsync("#sources .bar[data-x='2']");
        Assert.Equal(logit.GetProperty("sources")[2].GetProperty("flow").GetDouble(), await shown.NumberAsync("#source-here"), Four);
        shown.HasNoFaults();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Sentences_tell_ids_words_and_positions_apart(bool named)
    {
        await using Shown shown = await Golden(new ReportOptions { Label = named ? id => $"w {id}" : null });
        string name = named ? "w·40" : "id 40";
        await shown.Page.ClickAsync("#sources .bar[data-x='2']");
        Assert.StartsWith($"{name} at 2 contributes ", await shown.TextAsync("#sources .readout"));
        await shown.Page.ClickAsync(".chip:nth-child(3)");
        Assert.Equal($"After {name} at 2", await shown.TextAsync(".candidates h3"));
        await shown.Page.ClickAsync(".square[data-x='2'][data-y='1']");
        await shown.Page.WaitForSelectorAsync("#big[open] .over");
        Assert.Matches($"^{name} at 2 looks at {name[..^2]}[0-9]+ at [0-2] with ", await shown.TextAsync("#big .readout"));
        await shown.Page.Keyboard.PressAsync("Escape");
        Assert.Matches(@$"^{name[..^2]}[0-9]+ \([0-9]+\)( stays in its stream|( → (L[0-9]H[0-9]|MLP[0-9]|{name[..^2]}[0-9]+ \([0-9]+\)))+)$", await shown.TextAsync("#flow .paths button"));
        await shown.Page.ClickAsync("#reads input[value='embedding']");
        Assert.Matches(named ? "^L[0-9]H[0-9] reading w·[0-9]+ \\(id [0-9]+\\)$" : "^L[0-9]H[0-9] reading id [0-9]+$", await shown.TextAsync("#reads .panel h3"));
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Places_in_an_order_are_as_English_writes_them()
    {
        await using Shown shown = await Golden(new ReportOptions { Token = 5 });
        Assert.Equal(
            "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 1,112th",
            await shown.Page.EvaluateExpressionAsync<string>("[1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 1112].map(Arrakis.ordinal).join(' ')"));
        int rank = shown.Data.GetProperty("logit").GetProperty("rank").GetInt32();
        Assert.NotEqual(0, rank);
        string place = await shown.Page.EvaluateFunctionAsync<string>("rank => Arrakis.ordinal(rank + 1)", rank);
        Assert.EndsWith($", the {place} likeliest.", await shown.TextAsync("#sources .goal"));
        shown.HasNoFaults();
    }

    [Fact]
    public async Task The_flow_follows_threshold_source_and_choice()
    {
        await using Shown shown = await Golden();
        JsonElement flow = shown.Data.GetProperty("flows")[0];
        double[] sizes = [.. Parts(flow).Select(Math.Abs).Where(size => size > 0)];
        foreach (int at in new[] { 100, 60, 0 })
        {
            await Slide(shown, "#flow input[type=range]", at);
            double least = Math.Max(sizes.Max(), 1e-4 * Math.Abs(flow.GetProperty("total").GetDouble())) * Math.Pow(10, -4 + at / 25.0) * 0.999;
            Assert.Equal(sizes.Count(size => size >= least), await shown.CountAsync("#flow .part"));
        }

        // By the keyboard to its end: the strongest alone.
        await shown.Page.FocusAsync("#flow input[type=range]");
        await shown.Page.Keyboard.PressAsync("End");
        Assert.Equal(sizes.Count(size => size >= sizes.Max() * 0.999), await shown.CountAsync("#flow .part"));
        await shown.Page.Keyboard.PressAsync("Home");

        // However the focus went and the threshold came after it, one part and one dot are in the tab order, and the arrows go on from there.
        await shown.Page.FocusAsync("#flow .part[tabindex='0']");
        foreach (string key in new[] { "ArrowRight", "ArrowRight", "ArrowRight" })
            await shown.Page.Keyboard.PressAsync(key);
        Assert.Equal("3", await shown.Page.EvaluateExpressionAsync<string>("document.activeElement.dataset.x"));
        await Slide(shown, "#flow input[type=range]", 100);
        Assert.Equal("0", await shown.Page.EvaluateExpressionAsync<string>("document.querySelector(\"#flow .part[tabindex='0']\").dataset.x"));
        await Slide(shown, "#flow input[type=range]", 0);
        Assert.Equal((1, 1), (await shown.CountAsync("#flow .part[tabindex='0']"), await shown.CountAsync("#flow .dot[tabindex='0']")));
        await shown.Page.FocusAsync("#flow .dot[tabindex='0']");
        await shown.Page.Keyboard.PressAsync("ArrowRight");
        await shown.Page.Keyboard.PressAsync("Enter");
        Assert.True(await shown.CountAsync("#flow .part.dim") > 0);
        // What was dimmed when it was taken away comes back as the choice is then.
        await Slide(shown, "#flow input[type=range]", 100);
        // By key: the page still scrolls to what had the focus, and a click may come down beside its button.
        await shown.Page.FocusAsync("#flow .panel > button");
        await shown.Page.Keyboard.PressAsync("Enter");
        await Slide(shown, "#flow input[type=range]", 0);
        Assert.Equal(0, await shown.CountAsync("#flow .part.dim"));

        // The strongest head's edge: what it carries, and the paths that use it.
        JsonElement edge = flow.GetProperty("edges")[0];
        string name = $"L{edge.GetProperty("layer").GetInt32()}H{edge.GetProperty("head").GetInt32()}";
        await shown.Page.EvaluateExpressionAsync("[...document.querySelectorAll('#flow .part.head')].sort((a, b) => a.dataset.x - b.dataset.x)[0].focus()");
        await shown.Page.Keyboard.PressAsync("Enter");
        Assert.StartsWith(name, await shown.TextAsync("#flow .panel h3"));
        Assert.Equal(edge.GetProperty("flow").GetDouble(), await shown.NumberAsync("#edge-flow"), Four);
        int users = flow.GetProperty("paths").EnumerateArray().Count(path => path.GetProperty("steps").EnumerateArray().Any(step => Is(step, edge)));
        Assert.Equal(Math.Min(12, users), await shown.CountAsync("#flow .paths li:not(.note)"));

        // Another source: its own total.
        int src = shown.Data.GetProperty("flows")[1].GetProperty("src").GetInt32();
        await shown.Page.SelectAsync("#flow select", $"{src}");
        Assert.Equal(shown.Data.GetProperty("flows")[1].GetProperty("total").GetDouble(), await shown.NumberAsync("#flow-total"), Four);
        Assert.Equal("true", await shown.Page.EvaluateFunctionAsync<string>("src => document.querySelector(`#sources .bar[data-x='${src}']`).getAttribute('aria-pressed')", src));
        shown.HasNoFaults();
    }

    [Fact]
    public async Task The_pointer_gets_a_note_of_what_it_is_over()
    {
        await using Shown shown = await Golden();
        await shown.Page.HoverAsync("#sources .bar[data-x='4']");
        double says = Said(await shown.TextAsync("#tip"));
        Assert.Equal(shown.Data.GetProperty("logit").GetProperty("sources")[4].GetProperty("flow").GetDouble(), says, Four);
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Every_picture_is_reached_by_the_keyboard()
    {
        await using Shown shown = await Golden();
        var reached = new HashSet<string>();
        for (int i = 0; i < 120; i++)
        {
            await shown.Page.Keyboard.PressAsync("Tab");
            reached.Add(await shown.Page.EvaluateExpressionAsync<string>("document.activeElement.closest('section')?.id ?? ''"));
        }

        Assert.Superset(new HashSet<string> { "tokens", "attention", "writes", "reads", "composition", "sources", "flow" }, reached);
        // Arrows move within a map, Enter chooses.
        await shown.Page.FocusAsync("#writes .map .cell[tabindex='0']");
        string before = await shown.TextAsync("#writes .panel h3");
        await shown.Page.Keyboard.PressAsync("ArrowRight");
        await shown.Page.Keyboard.PressAsync("ArrowUp");
        await shown.Page.Keyboard.PressAsync("Enter");
        Assert.NotEqual(before, await shown.TextAsync("#writes .panel h3"));
        shown.HasNoFaults();
    }

    [Fact]
    public async Task The_tab_key_stops_only_where_there_is_something_to_do()
    {
        await using Shown shown = await Golden();
        var dead = new List<string>();
        int stops = 0;
        do
        {
            await shown.Page.Keyboard.PressAsync("Tab");
            string stop = await shown.Page.EvaluateExpressionAsync<string>(
                """
                document.activeElement === document.body ? "the end"
                  : document.activeElement.matches("a[href], button, select, input, [role=button], [role=application]") ? ""
                  : document.activeElement.cloneNode().outerHTML
                """);
            if (stop == "the end")
                break;
            if (stop.Length > 0)
                dead.Add(stop);
        }
        while (++stops < 300);
        Assert.InRange(stops, 20, 299);
        Assert.Empty(dead);
        shown.HasNoFaults();
    }

    [Theory]
    [InlineData(390, false)]
    [InlineData(1280, true)]
    [InlineData(2560, false)]
    public async Task No_width_makes_the_page_scroll_sideways(int width, bool dark)
    {
        await using Shown shown = await Shown.OpenAsync(chromium, "induction", Shown.Repeating, width: width, dark: dark);
        Assert.Equal(width, await shown.Page.EvaluateExpressionAsync<int>("document.documentElement.scrollWidth"));
        string paper = await shown.Page.EvaluateExpressionAsync<string>("getComputedStyle(document.body).backgroundColor");
        Assert.Equal(dark, paper == "rgb(20, 22, 26)");
        await shown.Page.ClickAsync("#theme");
        Assert.NotEqual(paper, await shown.Page.EvaluateExpressionAsync<string>("getComputedStyle(document.body).backgroundColor"));
        shown.HasNoFaults();
    }

    [Fact]
    public async Task Everything_that_takes_the_focus_has_a_name()
    {
        await using Shown shown = await Golden();
        string[] nameless = await shown.Page.EvaluateExpressionAsync<string[]>(
            """
            [...document.querySelectorAll("button, select, input, [role=button], [tabindex]")]
              .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label")?.textContent.trim()))
              .map((e) => e.outerHTML.slice(0, 120))
            """);
        Assert.Empty(nameless);
    }

    private Task<Shown> Golden(ReportOptions? options = null) => Shown.OpenAsync(chromium, Path.Combine("Golden", "gqa-f32"), s_mixed, options);

    private static JsonElement Pattern(JsonElement data, int layer, int head) => data.GetProperty("attention").GetProperty("heads").EnumerateArray()
        .First(one => one.GetProperty("layer").GetInt32() == layer && one.GetProperty("head").GetInt32() == head).GetProperty("pattern");

    /// <summary>Everything that the flow's picture may draw.</summary>
    private static IEnumerable<double> Parts(JsonElement flow) =>
        flow.GetProperty("edges").EnumerateArray().Select(edge => edge.GetProperty("flow").GetDouble())
            .Concat(flow.GetProperty("stays").EnumerateArray().SelectMany(layer => layer.GetProperty("tokens").EnumerateArray().Select(stay => (double)stay.GetSingle())));

    private static bool Is(JsonElement step, JsonElement edge) =>
        step.GetProperty("head").ValueKind == JsonValueKind.Number && step.GetProperty("head").GetInt32() == edge.GetProperty("head").GetInt32()
        && step.GetProperty("layer").GetInt32() == edge.GetProperty("layer").GetInt32()
        && step.GetProperty("from").GetInt32() == edge.GetProperty("key").GetInt32() && step.GetProperty("to").GetInt32() == edge.GetProperty("query").GetInt32();

    private static Task<string[]> Texts(Shown shown, string selector) =>
        shown.Page.EvaluateFunctionAsync<string[]>("s => [...document.querySelectorAll(s)].map((e) => e.textContent)", selector);

    private static Task<string> Label(Shown shown, string selector) =>
        shown.Page.EvaluateFunctionAsync<string>("s => document.querySelector(s).getAttribute('aria-label')", selector);

    /// <summary>The number in a name or a note, before what else it says.</summary>
    private static double Said(string label) => Shown.Number(label.Split(';')[0]);

    private static Task Slide(Shown shown, string selector, int value) => shown.Page.EvaluateFunctionAsync(
        """
        (s, value) => {
          const input = document.querySelector(s);
          input.value = value;
          input.dispatchEvent(new Event("input", { bubbles: true }));
        }
        """, selector, value);
}
