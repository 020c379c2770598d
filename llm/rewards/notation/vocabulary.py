"""The words and signs that answers are written with; whatever is not here is not read."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(text: str) -> dict[str, str]:
    """Lines with what is meant and the ways to write it, as {way: meaning}."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {way: meaning for meaning, *ways in rows for way in ways}


# Commands of LaTeX, without their backslash.

GREEK = _words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi "
    "pi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma "
    "Upsilon Phi Psi Omega ell hbar infty"
)
FUNCTIONS = _words("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln lg log exp det")
OF_SEVERAL = _words("max min gcd lcm")
ACCENTS = _words("overline bar hat widehat vec overrightarrow tilde widetilde dot ddot underline")
SPACES = ("quad", "qquad", "enspace", "thinspace")
MEASURED_SPACES = ("hspace", "vspace", "phantom", "hphantom", "vphantom")
"""Blanks as wide as their argument says."""

IGNORED = _words(
    "left right bigl bigr Bigl Bigr biggl biggr big Big bigg Bigg displaystyle textstyle limits "
    "nolimits mathstrut rm bf it"
)
STYLES = _words("boxed mathbf bold boldsymbol bm pmb mathit mathsf mathnormal")
"""Commands whose argument is mathematics in another style."""

UPRIGHT = _words("text textbf textit textrm textsf textnormal mbox hbox fbox mathrm operatorname")
"""Commands whose argument is upright: letters in it make words."""

ALIASES = _table(r"""
    \frac      dfrac tfrac cfrac
    \binom     dbinom tbinom
    \emptyset  emptyset varnothing
    \setminus  setminus smallsetminus backslash
    \degree    degree
    \to        to rightarrow
    \equiv     equiv
    \{         lbrace
    \}         rbrace
    [          lbrack
    ]          rbrack
    |          mid vert lvert rvert
    \|         Vert lVert rVert
    *          cdot times ast
    /          div
    <          lt
    >          gt
    <=         le leq leqslant
    >=         ge geq geqslant
    !=         ne neq
    ~          approx
    :          colon
    ...        dots ldots cdots dotsc
    or         lor vee
    and        land wedge
    mod        mod pmod
    £          pounds
    €          euro
""")
COMMANDS = (
    FUNCTIONS
    | OF_SEVERAL
    | ACCENTS
    | _words(
        "angle binom bmod cap choose circ cong cup frac in int langle lceil lfloor lim mp notin "
        "over parallel partial perp pm prime prod rangle rceil rfloor sim sqrt subset subseteq "
        "sum triangle { } | \\ $ %"
    )
)
"""Commands that the readers know by their own name."""

# Plain writing.

PLAIN_NAMES = {
    **{name: f"\\{name}" for name in (*FUNCTIONS, *OF_SEVERAL, "sqrt", "sum", "lim", "pi")},
    **_table("""
        \\infty  inf infinity Infinity oo
        mod      mod
        or       or
        and      and
    """),
}
"""Runs of letters that mean the same without a backslash."""

NAMES_AND_WORDS = _words("sum lim max min sec")
"""Those of them that are words or units in text."""

NAMES_BEFORE_BRACKETS = _words("max min sec")
"""Those of them that are functions only before a bracket."""

UNICODE = _table(r"""
    -  − –
    *  ∗ × · ⋅
    /  ÷ ∕
    '  ′
    ^{\circ}  °
    \le  ≤
    \ge  ≥
    \ne  ≠
    \approx  ≈
    \equiv  ≡
    \infty  ∞
    \sqrt  √
    \pm  ±
    \mp  ∓
    \cup  ∪
    \cap  ∩
    \in  ∈
    \notin  ∉
    \to  →
    \emptyset  ∅
    \setminus  ∖
    \ldots  …
    \mathbb{R}  ℝ
    \mathbb{Z}  ℤ
    \mathbb{N}  ℕ
    \mathbb{Q}  ℚ
    \mathbb{C}  ℂ
    \alpha  α
    \beta  β
    \gamma  γ
    \delta  δ
    \epsilon  ε
    \theta  θ
    \lambda  λ
    \mu  μ
    \pi  π
    \rho  ρ
    \sigma  σ
    \tau  τ
    \phi  φ
    \omega  ω
    \Delta  Δ
    \Omega  Ω
""")
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ", "0123456789-n", strict=True))
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))

# Around values.

OPTIONS = frozenset("ABCDEFGHIJ")
CURRENCIES = {"\\$": "dollar", "£": "pound", "€": "euro", "¥": "yen"}
SCALES = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
FACTORS = {"percent": "pct", "degree": "deg"}
"""Units that are a factor, with its operation in trees."""

ORDINALS = _words("st nd rd th")
POWERS = {"square": 2, "sq": 2, "cubic": 3}
UNIT_LETTERS = frozenset("mgshLNJWVAK")
"""Units of one letter, where they are upright and follow a value."""

ITALIC_UNIT_LETTERS = frozenset("mgshL")
"""Those of them that are units in italics too, where a number is wanted."""

UNITS = _table("""
    mm      mm millimeter millimetre
    cm      cm centimeter centimetre
    dm      dm
    m       meter metre
    km      km kilometer kilometre
    inch    in inch inches
    ft      ft foot feet
    mi      mi mile
    mg      mg milligram
    g       gram
    kg      kg kilogram
    lb      lb
    oz      oz ounce
    ml      ml mL milliliter millilitre
    L       liter litre
    ms      ms millisecond
    s       sec second
    minute  min minute
    h       hr hour
    mph     mph
    kph     kph
    Hz      Hz
    kHz     kHz
    Pa      Pa
    kPa     kPa
    dollar  USD dollar
    euro    EUR euro
    degree  deg degree
    percent percent
    person  person people
    am      am
    pm      pm
""")
"""Names of units in the singular, and what they are compared by."""

NO_MEANING = _words("unit old")
"""Words in a unit that say nothing of it."""

# Text.

SHORT_PROSE = _words("an as at be by if in is it no of on to we")
"""Two letters that are a word beside other words, and a product elsewhere."""

PROSE = _words(
    "all any are but each else even for from has none not odd one only per some such than that the "
    "then true two was when with yes"
)
"""Short words that are never products of variables."""

_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBERS = {word: number for number, word in enumerate(_NUMBERS.split())}
SETS = {
    ("all", "real", "numbers"): "\\mathbb{R}",
    ("real", "numbers"): "\\mathbb{R}",
    ("all", "reals"): "\\mathbb{R}",
    ("the", "empty", "set"): "\\emptyset",
    ("empty", "set"): "\\emptyset",
}

_COMMENTS = _words(
    "about add all almost also although answer any approximately approx are because but correct "
    "cubed discarded divided each either else equal equals even exactly except excluded factorial "
    "fake false for from has if impossible incorrect infinitely invalid least less maybe minus "
    "modulo more most negative neither never none nor not odd only over perhaps plus possibly "
    "prime probably rejected remainder right roughly since so solution some something squared "
    "such than that the then there therefore thus times true undefined until untrue was when "
    "where which while with without wrong yes"
)
# 5 in is five inches.
NO_UNITS = (SHORT_PROSE - {"in"}) | NUMBERS.keys() | _COMMENTS
"""Words that say something about a value, so that it may not stand for the whole."""
