namespace Arrakis.Weights.Tales;

/// <summary>The words that tales are made of, by what they can stand for.</summary>
internal static class Words
{
    public static readonly string[] Women = List("""
        Mara Anna Bela Cora Dina Edda Fenna Greta Hilda Ida Juna Kaya Lena Mila Nora Oda Petra Rosa Sela Tilda Una Vera Wanda Yara Zoe Alma
        Brit Clara Dora Elin Frida Gwen
        """);

    public static readonly string[] Men = List("""
        Jon Adam Bruno Carl Dario Emil Felix Gus Hugo Ivo Jakob Karim Leo Marek Nils Otto Paul Quin Rolf Sven Tomas Udo Viktor Walt Yuri Zeno
        Arno Boris Cyril Denis Erik Frank
        """);

    public static readonly string[] Names = [.. Women, .. Men];

    /// <summary>Every kind of word that a template may ask for.</summary>
    public static readonly IReadOnlyDictionary<string, string[]> Kinds = new Dictionary<string, string[]>
    {
        ["place"] = List("""
            well mill market river bridge garden forest barn lake hill tower harbor meadow cave inn castle church school bakery orchard valley field
            stable gate fountain forge shore island road camp temple kitchen cellar attic pond beach village square quarry vineyard dock lighthouse
            pasture station library palace farm ford
            """),
        ["object"] = List("""
            cup lamp book key knife basket rope coin ring letter map candle mirror bowl spoon hammer saw needle bell drum kite ball doll box chest
            bottle pot pan plate blanket pillow chair wheel net hook ladder bucket broom shovel axe comb purse ribbon brush pen feather stone shell
            pearl crown sword shield bow lantern clock whistle jar sack button thread cloth scarf medal ticket flag paddle lock chain
            """),
        ["food"] = List("""
            bread salt honey cheese butter milk flour rice beans soup apples pears plums cherries grapes nuts eggs fish corn onions carrots garlic
            pepper sugar tea wine oil jam cake pie figs dates berries lemons peas oats barley turnips cabbage mushrooms
            """),
        ["animal"] = List("""
            dog cat horse cow goat sheep pig hen goose duck fox wolf bear deer rabbit mouse owl crow dove hawk frog toad snake turtle donkey mule
            lamb calf pony swan sparrow raven badger beaver squirrel hedgehog spider beetle bee camel
            """),
        ["herd"] = List("""
            dogs cats horses cows goats pigs hens ducks foxes wolves bears rabbits owls crows doves frogs toads snakes turtles donkeys mules swans
            ravens beavers spiders beetles bees camels boats carts stones stars trees candles lamps bells
            """),
        ["job"] = List("""
            baker miller farmer fisher hunter weaver tailor smith potter carpenter shepherd sailor soldier teacher doctor painter singer dancer
            merchant mason gardener cook butcher barber clerk judge tanner ranger captain knight nurse piper guard
            """),
        ["trait"] = List("""
            kind brave clever gentle quiet proud poor rich lazy patient polite curious stubborn cheerful shy wise young strong lonely careful
            bold friendly humble greedy
            """),
        ["look"] = List("""
            small large round heavy light broken shiny dusty rusty smooth rough soft hard thin thick narrow wide clean dirty bright plain pretty
            strange tiny huge warm cold sharp
            """),
        ["color"] = List("red blue green yellow white black brown gray golden silver purple pink"),
        ["stuff"] = List("wooden iron copper leather glass clay stone paper silk woolen brass tin"),
        ["garment"] = List("coat hat cloak shirt dress skirt vest belt hood cape jacket apron gown robe shawl"),
        ["feeling"] = List("""
            glad happy sad angry tired hungry thirsty sleepy afraid calm surprised grateful jealous nervous pleased lonely cheerful bored worried
            hopeful ashamed
            """),
        ["deed"] = List("""
            laughed smiled sang danced waited slept rested listened nodded wept sighed whispered shouted hurried walked ran jumped prayed worked
            swam yawned bowed knelt waved whistled hummed
            """),
        ["handled"] = List("""
            found lost carried cleaned washed hid dropped painted fixed broke kept wanted liked loved needed watched touched lifted opened closed
            admired borrowed mended polished noticed
            """),
        ["gave"] = List("gave handed passed brought offered sent lent sold returned tossed delivered presented"),
        ["give"] = List("give hand pass bring offer send lend sell return toss deliver present"),
        ["went"] = List("went walked ran rode hurried wandered came traveled marched"),
        ["tree"] = List("oak pine birch willow maple cedar elm ash rose lily tulip poppy fern ivy reed vine thistle daisy violet clover"),
        ["instrument"] = List("flute fiddle harp horn trumpet guitar lute pipe organ piano banjo cello"),
        ["number"] = List("two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred"),
        ["kin"] = List("mother father brother sister uncle aunt cousin son daughter friend neighbor grandmother grandfather"),
        ["holder"] = List("bag pocket cart boat house room drawer cupboard trunk shed wagon hut"),
        ["weather"] = List("sunny rainy windy cloudy foggy stormy snowy dry wet cool hot mild gray frosty"),
        ["time"] = List("morning evening afternoon day night week month spring summer autumn winter year"),
        ["body"] = List("hand foot head arm leg nose ear knee back neck finger thumb shoulder elbow"),
        ["hurt"] = List("hurt scratched bumped rubbed washed warmed"),
        ["sky"] = List("sun moon rain snow wind fog storm thunder frost mist"),
        ["came"] = List("came left returned stopped began ended arrived faded"),
    };

    static Words()
    {
        var kinds = (Dictionary<string, string[]>)Kinds;
        kinds["song"] = [.. new[] { "object", "food", "animal", "herd", "tree", "body", "garment" }.SelectMany(kind => kinds[kind]).Distinct()];
    }

    /// <summary>A word's sex, where it is a name.</summary>
    public static bool IsWoman(string name) => Array.IndexOf(Women, name) >= 0;

    private static string[] List(string words) => words.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
}
