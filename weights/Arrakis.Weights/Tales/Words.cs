namespace Arrakis.Weights.Tales;

/// <summary>The words that tales are made of, by what they can stand for.</summary>
internal static class Words
{
    public static readonly string[] Women = List("""
        Mara Anna Bela Cora Dina Edda Fenna Greta Hilda Ida Juna Kaya Lena Mila Nora Oda Petra Rosa Sela Tilda Una Vera Wanda Yara
        """);

    public static readonly string[] Men = List("""
        Jon Adam Bruno Carl Dario Emil Felix Gus Hugo Ivo Jakob Karim Leo Marek Nils Otto Paul Quin Rolf Sven Tomas Udo Viktor Walt
        """);

    public static readonly string[] Names = [.. Women, .. Men];

    /// <summary>Every kind of word that a template may ask for.</summary>
    public static readonly IReadOnlyDictionary<string, string[]> Kinds = new Dictionary<string, string[]>
    {
        ["place"] = List("well mill market river bridge garden forest barn lake hill tower harbor meadow cave inn castle church school bakery orchard"),
        ["object"] = List("""
            cup lamp book key knife basket rope coin ring letter map candle mirror bowl spoon hammer saw needle bell drum kite ball doll box chest
            bottle pot pan plate blanket pillow chair wheel net hook ladder
            """),
        ["food"] = List("bread salt honey cheese butter milk flour rice beans soup apples pears plums cherries grapes nuts eggs fish corn onions"),
        ["animal"] = List("dog cat horse cow goat sheep pig hen goose duck fox wolf bear deer rabbit mouse owl crow dove hawk"),
        ["herd"] = List("dogs cats horses cows goats pigs hens ducks foxes wolves bears rabbits owls crows doves frogs toads snakes"),
        ["job"] = List("baker miller farmer fisher hunter weaver tailor smith potter carpenter shepherd sailor soldier teacher"),
        ["trait"] = List("kind brave clever gentle quiet proud poor rich lazy patient polite curious"),
        ["look"] = List("small large round heavy light broken shiny dusty rusty smooth rough soft"),
        ["color"] = List("red blue green yellow white black brown gray golden silver"),
        ["stuff"] = List("wooden iron copper leather glass clay"),
        ["garment"] = List("coat hat cloak shirt dress skirt vest belt hood cape"),
        ["feeling"] = List("glad happy sad angry tired hungry thirsty sleepy afraid calm surprised grateful"),
        ["deed"] = List("laughed smiled sang danced waited slept rested listened nodded wept sighed whispered shouted hurried walked ran"),
        ["handled"] = List("found lost carried cleaned washed hid dropped painted fixed broke kept wanted liked loved"),
        ["gave"] = List("gave handed passed brought offered sent lent sold"),
        ["give"] = List("give hand pass bring offer send lend sell"),
        ["went"] = List("went walked ran rode hurried wandered came"),
        ["tree"] = List("oak pine birch willow maple cedar elm ash rose lily"),
        ["instrument"] = List("flute fiddle harp horn trumpet guitar lute pipe"),
        ["number"] = List("two three four five six seven eight nine ten eleven"),
        ["kin"] = List("mother father brother sister uncle aunt cousin son daughter friend"),
        ["holder"] = List("bag pocket cart boat house room drawer cupboard"),
        ["weather"] = List("sunny rainy windy cloudy foggy stormy snowy dry wet cool"),
        ["time"] = List("morning evening afternoon day night week month spring"),
        ["body"] = List("hand foot head arm leg nose ear knee back neck"),
        ["hurt"] = List("hurt scratched bumped rubbed"),
        ["sky"] = List("sun moon rain snow wind fog storm thunder"),
        ["came"] = List("came left returned stopped began ended"),
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
