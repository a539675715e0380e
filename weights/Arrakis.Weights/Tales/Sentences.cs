namespace Arrakis.Weights.Tales;

/// <summary>
/// The grammar: every sentence that a tale may hold, its tokens separated by spaces. <c>{A}</c> … <c>{D}</c> are persons and <c>{A.he}</c>, <c>{A.him}</c>, <c>{A.his}</c>,
/// <c>{A.He}</c> their pronouns; <c>{kind}</c> is any word of a kind (<see cref="Words.Kinds"/>), and <c>{kind1}</c> one that stays the same until it is forgotten.
/// </summary>
internal static class Sentences
{
    public static readonly string[] Beginnings =
    [
        "Once there was a {trait} {job} .",
        "Long ago there was a {look} {place} near the {place} .",
        "It was a {weather} {time} .",
        "It was {weather} , and the {sky} {came} .",
        "One {time} the {sky} {came} early .",
        "This is a tale of a {look} {object} .",
    ];

    public static readonly string[] Meetings =
    [
        "{A} was a {trait} {job} , and {B} was a {trait} {job} .",
        "{A} and {B} were friends .",
        "{A} had a friend named {B} .",
        "{A} lived near the {place1} with {A.his} {kin} .",
        "{A} was a {trait} {job} who knew {B} well .",
        "In a {look} house near the {place1} lived {A} and {B} .",
        "{A} was {trait} , but {B} was {trait} .",
        "{A} wore a {color} {garment} , and {B} wore a {color} {garment} .",
    ];

    public static readonly string[] Strangers =
    [
        "{C} was asleep at the {place2} .",
        "{C} stayed at home with {C.his} {kin} .",
        "{C} was busy near the {place2} .",
        "Nobody saw {C} that {time} .",
        "{C} the {job} {deed} and went home .",
        "{C} had lost a {look} {object} .",
        "{C} was {feeling} that {time} .",
        "The {kin} of {C} {handled} the {object} .",
    ];

    /// <summary>How a gift begins: both are named, in this order; a giving follows.</summary>
    public static readonly string[] Leads =
    [
        "When {A} and {B} {went} to the {place1} ,",
        "After {A} and {B} {went} to the {place1} ,",
        "While {A} and {B} were at the {place1} ,",
        "One {time} {A} and {B} met at the {place1} , and",
        "Then {A} and {B} {deed} near the {place1} , and",
        "{A} and {B} had a long {time} at the {place1} , so",
        "That {time} {A} and {B} {went} to the {place1} , and",
        "When {A} and {B} came home from the {place1} ,",
        "Since {A} was {feeling} and {B} was {feeling} ,",
        "{A} and {B} {deed} , and then",
        "While {C} {deed} , {A} and {B} {went} to the {place1} , and",
        "When {A} met {B} near the {place1} ,",
        "After {A} and {B} {handled} the {object} ,",
    ];

    /// <summary>Who gives what to whom: S gives, R gets.</summary>
    public static readonly string[] Givings =
    [
        "{S} {gave} the {object1} to {R} .",
        "{S} {gave} the {look} {object1} to {R} .",
        "{S} {gave} a {color} {object1} to {R} .",
        "{S} {gave} a {stuff} {object1} to {R} .",
        "{S} wanted to {give} the {object1} to {R} .",
        "{S} decided to {give} a {look} {object1} to {R} .",
        "{S} quickly {gave} the {object1} to {R} .",
        "{S} took the {object1} and {gave} {S.his} {food1} to {R} .",
        "{S} {handled} the {object1} and {gave} it to {R} .",
    ];

    /// <summary>What follows a gift of S to R.</summary>
    public static readonly string[] Thanks =
    [
        "{R} thanked {S} for the {object1} .",
        "\" Thank you , {S} , \" said {R} .",
        "\" Thank you for the {object1} , \" said {R} to {S} .",
        "So {R} had the {object1} , and {S} had none .",
        "{R} put the {object1} in {R.his} {holder} .",
        "{R} was {feeling} , and {S} {deed} .",
        "{R} {handled} the {object1} and thanked {S} .",
        "\" Is it yours , {S} ? \" asked {R} .",
        "{S} {deed} when {R} {handled} the {object1} .",
    ];

    /// <summary>What may come last after a gift of S to R.</summary>
    public static readonly string[] Returns =
    [
        "The next {time} {R} gave the {object1} back to {S} .",
        "{R} gave {S} a {look} {object} for it .",
        "Then {R} gave a {color} {object} to {S} .",
    ];

    public static readonly string[][] Scenes =
    [
        ["{S} wanted {food1} , {food2} , and {food3} .", "So {R} bought {food1} , {food2} , and {food3} .", "{S} thanked {R} for the {food1} ."],
        ["{S} counted {number1} {herd1} near the {place1} .", "{R} counted {number1} {herd1} too ."],
        ["{S} sang : {song1} {song2} {song3} , {song1} {song2} {song3} .", "Then {R} sang : {song1} {song2} {song3} , {song1} {song2} {song3} ."],
        [
            "{S} said : {song1} , {song2} , {song3} , {song4} , {song5} .",
            "{R} said after {S.him} : {song1} , {song2} , {song3} , {song4} , {song5} .",
        ],
        ["{S} {handled} a {look} {object2} near the {place1} .", "\" Where is the {object2} ? \" asked {R} .", "\" The {object2} is in my {holder} , \" said {S} ."],
        ["{S} saw a {color} {animal1} near the {place1} .", "The {animal1} {deed} .", "\" Look at the {animal1} , \" said {S} to {R} .", "Then the {animal1} {deed} too ."],
        ["{S} played the {instrument1} , and {R} {deed} .", "\" I love the {instrument1} , \" said {R} ."],
        ["There was a {look} {tree1} near the {place1} .", "{S} {handled} the {tree1} , and {R} {deed} .", "\" This {tree1} is {color} , \" said {R} ."],
        ["{S} {hurt} {S.his} {body1} .", "{R} looked at the {body1} of {S} .", "\" My {body1} is well , \" said {S} ."],
        ["The {sky1} {came} that {time} .", "{S} and {R} {deed} .", "\" The {sky1} is {weather} , \" said {S} ."],
        ["{S} asked {R} for a {garment1} .", "{R} had a {color1} {garment1} .", "So {S} wore the {color1} {garment1} ."],
    ];

    public static readonly string[] Endings =
    [
        "So {A} and {B} went home .",
        "That {time} {A} and {B} slept well .",
        "{A} and {B} were friends for {number} years .",
        "{A} {deed} , and {B} {deed} , and the tale ends here .",
        "Then {A} said farewell to {B} .",
        "{B} said farewell to {A} and went home .",
    ];

    /// <summary>What may come before a recitation, apart from nothing.</summary>
    public static readonly string[] Recitals = ["Say after me :", "Listen and say it again :", "Say these words twice :"];

    /// <summary>Every complete sentence, with S and R as A and B: for the vocabulary and for <see cref="Grammar"/>.</summary>
    public static IEnumerable<string> All()
    {
        foreach (string sentence in (string[])[.. Beginnings, .. Meetings, .. Strangers, .. Endings])
            yield return sentence;
        foreach (string sentence in (string[])[.. Thanks, .. Returns, .. Scenes.SelectMany(scene => scene)])
            yield return Cast(sentence, "A", "B");
        foreach (string lead in Leads)
        {
            foreach (string giving in Givings)
            {
                yield return lead + " " + Cast(giving, "A", "B");
                yield return lead + " " + Cast(giving, "B", "A");
            }
        }
    }

    /// <summary>Puts persons in the places of S and R.</summary>
    public static string Cast(string sentence, string s, string r) =>
        sentence.Replace("{S", "{" + s, StringComparison.Ordinal).Replace("{R", "{" + r, StringComparison.Ordinal);
}
