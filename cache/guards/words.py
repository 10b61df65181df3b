"""What may differ between two texts that ask the same: the reviewed lists of strict guards.

A line belongs here if putting one side in the place of the other never changes what a
careful person would answer. "Nearly always" is not enough: that is what the longer list in
`cache.guards.lenient` is for. Each side is in lower case, after contractions are written
out. Pure data.
"""


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for lists that read as lines."""
    return frozenset(text.split())


# --- Which texts the lists are for -------------------------------------------------------

ENGLISH = word_set(
    "the what what's whats how how's why where where's when who who's which is are does did can "
    "could should would will my your our their his her this these those of with from and "
    "please you there here i'm i've i'd it's don't doesn't isn't can't won't "
    "explain write give tell show list"
)
"""Words that common languages in Latin letters do not share."""
RATHER_ENGLISH = word_set(
    "a an in to for on at be do need i me we if any some about not name find make get have may "
    "two three four five six seven eight nine ten suggest convert between than into as by or and"
)
"""Two of these are as good as one of those."""
NOT_ENGLISH = word_set(
    "der das und ist ein eine nicht wie ich wir sie mit für auf dem wo warum wann kann "
    "le les une des du dans que qui où je vous comment quel quelle puis avec pas "
    "el por qué cómo para una mi tu puedo dónde cuál del "
    "il che di della sono posso dove perché gli nel quanto "
    "os uma não você como em meu minha onde ao "
    "het een niet hoe wat waar mijn kan naar det och är på hur ikke jeg "
    "jak jest nie gdzie się czy bir nasıl ve için"
)
"""Words that English does not have: one of them, and the text is not English alone."""

# --- Politeness and fillers --------------------------------------------------------------

HESITATION = word_set("um umm uh uhm uhh erm hmm")
HESITATION_AT_A_PAUSE = word_set("er hm mm")
"""Words in their own right, elsewhere than at the beginning or after a comma."""
POLITE = word_set("please pls plz kindly")
PLEASED = word_set("the a an my your his her our their him them me us everyone everybody it")
"""After these, a "please" at the beginning is a verb."""
MENTIONS = word_set(
    "say says saying said spell spelled spelling pronounce translate translates write writing "
    "word words phrase mean means meaning type respond reply answer add use put include without "
    "of to for with by from in on and or the a an my your no than as like about between after "
    "before call called named not replace remove delete insert change count type is are"
)
"""Before these a polite word is what the text speaks of, as in "how do you say please"."""

OPENINGS = """
hi|hello|hey|hiya|howdy|greetings|good morning|good afternoon|good evening
hi there|hello there|hey there|hi team|hello team|hi all|hello all|hi everyone|hello everyone
hi guys|hey guys|hi folks|dear team|dear support
so|ok|okay|well|sorry
quick question|a quick question|just a quick question|i have a quick question|quick one
silly question|silly question but|dumb question|dumb question but|stupid question
i have a question|just wondering|excuse me|pardon me
sorry to bother you|sorry to bother you but|sorry to trouble you|sorry to trouble you but
sorry silly question but|sorry but|but
hope you are well|hope you are doing well|i hope you are well
"""
OPENS = word_set("so ok okay i i'm i'd i've we we're my there please pls could would can does do")
"""What may follow a greeting of one word at once, besides a question: not "Hello Kitty"."""
ENDINGS = """
thanks|thank you|thx|ty|cheers|many thanks|thanks a lot|thanks so much|thanks very much
thank you so much|thank you very much|thanks in advance|thank you in advance|much appreciated
please and thank you|please and thanks|kind regards|best regards
"""
INDIRECT = """
could you tell me|can you tell me|would you tell me|will you tell me|tell me|let me know
could you let me know|can you let me know|do you know|would you know|do you happen to know
i want to know|i would like to know|i'd like to know|i'd love to know|i need to know
i was wondering|i am wondering|i'm wondering|i wonder
i would love to know|could anyone tell me|can anyone tell me|can someone tell me
could someone tell me|does anyone know|does anybody know|would you mind telling me
"""
"""They make a question of a clause: "tell me where it is", "where is it"."""
TO_BE_TOLD_LATER = word_set("tell let")
"""But "tell me when it is done" is to be told then, and "let me know if …" no question."""
TASKS = word_set(
    "write explain summarize translate describe list give show compare generate rewrite suggest "
    "recommend convert rephrase paraphrase proofread draft outline calculate compute define"
)
"""Orders to an assistant: "can you explain …" is one, "can you process refunds" is not."""

ABOUT_WORDS = word_set(
    "spell spells spelled spelling spellings pronounce pronounced pronunciation synonym synonyms "
    "antonym antonyms plural singular letters syllable syllables rhyme rhymes rhyming anagram "
    "palindrome grammar grammatical contraction contractions abbreviation abbreviations word words "
    "phrase phrases mean means meaning definition etymology translate translation say vowel vowels "
    "sentence sentences apostrophe hyphen hyphenated capitalize capitalized british american "
    "conjugate prefix suffix"
)
"""Where one of these stands, the text may speak of its own words: none is exchanged."""

# --- Contractions and spelling -----------------------------------------------------------

CONTRACTIONS = {
    "can't": "can not", "cant": "can not", "cannot": "can not", "won't": "will not",
    "don't": "do not", "dont": "do not", "doesn't": "does not", "doesnt": "does not",
    "didn't": "did not", "didnt": "did not", "isn't": "is not", "isnt": "is not",
    "aren't": "are not", "arent": "are not", "wasn't": "was not", "wasnt": "was not",
    "weren't": "were not", "werent": "were not", "haven't": "have not", "havent": "have not",
    "hasn't": "has not", "hasnt": "has not", "hadn't": "had not", "shouldn't": "should not",
    "shouldnt": "should not", "wouldn't": "would not", "wouldnt": "would not",
    "couldn't": "could not", "couldnt": "could not", "mustn't": "must not",
    "needn't": "need not", "i'm": "i am", "im": "i am", "you're": "you are",
    "we're": "we are", "they're": "they are", "i've": "i have", "ive": "i have",
    "you've": "you have", "we've": "we have", "they've": "they have", "i'll": "i will",
    "you'll": "you will", "we'll": "we will", "they'll": "they will", "it'll": "it will",
    "let's": "let us", "whats": "what is", "wheres": "where is", "hows": "how is",
    "gonna": "going to", "wanna": "want to",
}  # fmt: skip
IS_AFTER = word_set("what where how who when why that there here it he she")
"""``'s`` after these is "is" …"""
NOT_IS_BEFORE = word_set("been got had done gone become happened taken made given")
"""… unless one of these follows, where it may be "has"."""
WOULD_BEFORE = word_set("like love prefer rather")
"""``'d`` before these is "would"."""

OUR = word_set(
    "colour favour favourite flavour honour humour labour neighbour neighbourhood rumour "
    "behaviour harbour vapour odour endeavour tumour rigour vigour"
)
"""Written with "or" elsewhere, as are their inflections."""
DOUBLED = word_set(
    "cancel travel model label signal fuel counsel total channel tunnel marvel quarrel"
)
"""The last letter is doubled in British English: cancelled, canceled."""
NOT_IZE = word_set("exercise otherwise precise promise premise expertise likewise practise")

SPELLING = {
    "an": "a", "centre": "center", "centres": "centers", "theatre": "theater",
    "theatres": "theaters", "litre": "liter", "litres": "liters", "kilometre": "kilometer",
    "kilometres": "kilometers", "centimetre": "centimeter", "centimetres": "centimeters",
    "fibre": "fiber", "calibre": "caliber", "programme": "program", "programmes": "programs",
    "grey": "gray", "licence": "license", "licences": "licenses", "practise": "practice",
    "defence": "defense", "offence": "offense", "analyse": "analyze", "analysed": "analyzed",
    "analysing": "analyzing", "catalogue": "catalog", "instal": "install", "enrol": "enroll",
    "fulfil": "fulfill", "ageing": "aging", "judgement": "judgment", "jewellery": "jewelry",
    "pyjamas": "pajamas", "aluminium": "aluminum", "e-mail": "email", "e-mails": "emails",
    "on-line": "online", "wi-fi": "wifi", "web-site": "website", "okay": "ok",
    "alright": "ok", "whilst": "while", "amongst": "among", "towards": "toward",
    "afterwards": "afterward", "acknowledgement": "acknowledgment", "mum": "mom",
    "maths": "math", "sceptical": "skeptical", "plough": "plow", "colour-blind": "color-blind",
    "vs.": "vs", "versus": "vs", "per-cent": "%", "percent": "%",
    "thru": "through", "yoghurt": "yogurt", "doughnut": "donut", "doughnuts": "donuts",
}  # fmt: skip

# --- Words that mean the same ------------------------------------------------------------

_FROM_TWO = "two three four five six seven eight nine ten"
NUMBERS = {word: str(value) for value, word in enumerate(_FROM_TWO.split(), 2)}
"""Not "one": it is a pronoun more often than a number."""

EQUIVALENTS = {
    "does": "do", "begin": "start", "begins": "starts", "commence": "start",
    "commences": "starts", "purchase": "buy", "purchasing": "buying", "purchased": "bought",
    "obtain": "get", "obtaining": "getting", "receive": "get", "receiving": "getting",
    "quickest": "fastest", "quicker": "faster", "biggest": "largest", "bigger": "larger",
    "big": "large", "automobile": "car", "automobiles": "cars", "bicycle": "bike",
    "bicycles": "bikes", "television": "tv", "telephone": "phone", "photograph": "photo",
    "photographs": "photos", "refrigerator": "fridge", "cellphone": "mobile-phone",
    "kids": "children", "kid": "child", "dad": "father", "mom": "mother", "info": "information",
    "assist": "help", "assistance": "help", "quotation": "quote", "quotations": "quotes",
    "repair": "fix", "repairing": "fixing", "attorney": "lawyer", "attorneys": "lawyers",
    "physician": "doctor", "physicians": "doctors", "exam": "examination",
    "exams": "examinations", "laboratory": "lab", "laboratories": "labs", "shut": "close",
    "mathematics": "math", "statistics": "stats", "km": "kilometers", "kg": "kilograms",
    "cm": "centimeters", "hrs": "hours", "mins": "minutes", "secs": "seconds",
    "concerning": "about", "regarding": "about", "roughly": "approximately",
    "u.k": "uk", "u.s": "usa", "u.s.a": "usa", "js": "javascript",
    "postgres": "postgresql", "k8s": "kubernetes", "golang": "go-language",
    "everybody": "everyone", "anybody": "anyone", "nobody": "no-one", "somebody": "someone",
    "til": "until", "till": "until", "asap": "as-soon-as-possible",
    "lorry": "truck", "lorries": "trucks",
    "aeroplane": "plane",
    "airplane": "plane", "aeroplanes": "planes", "airplanes": "planes",
}  # fmt: skip

PHRASES = """
how can i | how do i | how to | how might i => how do i
what is the way to | what are the steps to | what do i do to | what do i need to do to => how do i
^ is it possible to | ^ is it possible for me to | ^ am i able to | ^ may i | ^ could i => can i
^ is there a way to | ^ is there any way to | ^ is there a way for me to => can i
^ could i have => could i have
^ could i be => could i be
^ do i need to | ^ do i have to | ^ must i | ^ am i required to | ^ is it necessary to => must i
when do i need to | when do i have to | when must i => when must i
why do i need to | why do i have to | why must i => why must i
where do i need to | where do i have to | where must i => where must i
how much do it cost | what do it cost => cost-of
what is the cost of | what is the price of | how much is => how much is
how much do you charge | what do you charge => how much do you charge
how long do it usually take | how long do it take => how long do it take
how long do it normally take | how long do it typically take => how long do it take
where can i | where do i | where could i => where do i
who should i contact | who do i contact | who can i contact => who do i contact
when is the deadline | what is the deadline => when is the deadline
^ do you have | ^ have you got | ^ do you have any | ^ have you got any => do you have
i have got => i have
what is the difference between | what are the differences between => difference-between
who is the author of | who was the author of | who wrote => who wrote
why will not my | why do not my => why do not my
why will not the | why do not the => why do not the
why will not it | why do not it => why do not it
make a claim | submit a claim | file a claim => make a claim
get rid of => remove
getting rid of => removing
in order to | so as to => to
what type of | what sort of | what kind of => what kind of
what types of | what sorts of | what kinds of => what kinds of
because of | due to | owing to | on account of => because of
with regard to | with regards to | in regard to => about
for instance | e.g | e.g . | for example => for example
one another => each other
prior to => before
in spite of => despite
as soon as possible => as-soon-as-possible
per cent => %
all right => ok
united kingdom => uk
united states | united states of america => usa
log into => log in to
sign into => sign in to
cell phone | mobile phone => mobile-phone
web site => website
on line => online
wait time | waiting time => waiting time
wait times | waiting times => waiting times
pay back => repay
no one => no-one
i would like to | i would love to => i want to
explain to me => explain
"""
"""``a | b => c``: each of them is rewritten to c. The longest that fits is taken; ``^`` is the
beginning of the request. "What do I need to open" is not here: it may be what I need in order
to open, or what must be opened."""

STATES = word_set(
    "know matter go look compare sound rank feel seem do stand rate fare score live belong fit "
    "qualify differ"
)
"""Before these "how do I" asks how I am, not how to go about it."""

FRONTED = word_set(
    "in on at for from to near with without during under by via using inside before after if "
    "when while"
)
"""How a phrase begins that may stand before the question and a comma, or after it."""
ASKING = word_set(
    "what how why where when who which whose is are was were do does did can could should would "
    "will have has am may must cost-of difference-between"
)
"""How a question begins."""

BEGINNINGS = (ENGLISH | FRONTED | ASKING) - {"may", "will"}

# --- Capitals ----------------------------------------------------------------------------

HOMOGRAPHS = word_set(
    "turkey china polish march may august apple us it who aids sat pin python java rust go swift "
    "ruby perl basic oracle amazon meta windows word excel access edge shell target gap orange "
    "subway visa discover chase ally square stripe slack zoom teams notion signal telegram mint "
    "reading nice bath cork lens split job mark bill will rob jack rose frank grant pat sue drew "
    "chad jordan georgia cuba mali guinea lent mass catholic democrat republican moon sun "
    "earth mercury mars god bible internet pacific titanic hamlet spring rails flask django react "
    "angular vue express julia scala kotlin elixir dart pandas spark kafka hive pig storm ant "
    "docker puppet chef salt jenkins travis circle cat dog ram rom led ira arc gas "
    "hiv all some sos pie ace cad ice era opt ran rip mat map hat fit mid cod bat jet"
)
"""A capital makes another word of these; elsewhere it is a habit of typing."""
BRANDS = word_set(
    "youtube iphone ipad github gitlab javascript typescript postgresql mysql mongodb linkedin "
    "whatsapp paypal ebay macos ios tiktok facebook openai chatgpt powerpoint wordpress icloud"
)
"""Names with capitals inside that people write without."""
