//! Random choices that are a function of seed, kind of attack and number: SplitMix64, so that no case depends on a library.

pub struct Dice(u64);

impl Dice {
    /// Those of case `number` of the attack `name`.
    pub fn new(seed: u64, name: &str, number: u64) -> Self {
        let mut dice = Self(seed);
        for part in name.bytes().map(u64::from).chain([number]) {
            dice.0 = dice.next() ^ part;
        }
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }

    /// From `low` to `high`, both among them.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn one<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From -1 to 1.
    pub fn small(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Mostly a number as it comes in a series; else one that arithmetic does not like.
    pub fn value(&mut self) -> f32 {
        if self.once_in(8) { self.one(&NASTY_F32) } else { self.small() * self.one(&[1.0, 10.0, 1000.0]) }
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

pub const NASTY_F32: [f32; 12] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    -0.0,
    1e19,
    1e30,
    16_777_217.0,
];

/// Whole numbers at which sizes, counters and conversions turn over.
pub const NASTY_U64: [u64; 22] = [
    0,
    1,
    2,
    3,
    7,
    63,
    64,
    65,
    127,
    255,
    256,
    65_535,
    65_536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Numbers as text, some of them none.
pub const NASTY_NUMBERS: [&str; 24] = [
    "-1",
    "-0",
    "0.5",
    "-1.5",
    "1e308",
    "-1e308",
    "1e309",
    "1e-320",
    "3.5e38",
    "1e39",
    "1e999",
    "1e-999",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "0x10",
    "1_000",
    "+5",
    "1,5",
    ".5",
    "5.",
    "99999999999999999999",
    "-9223372036854775809",
];

/// Texts that a terminal, a shell, a spreadsheet or a parser of their own takes for an order.
pub const NASTY_TEXTS: [&str; 25] = [
    "",
    " ",
    "\0",
    "\n",
    "a\r\nb",
    "\t",
    "\u{1b}[31mred\u{1b}[2J",
    "\u{7}",
    "\u{9b}5m",
    "\u{202e}txt.exe",
    "\u{2028}",
    "\u{feff}",
    "\u{fffd}",
    "=1+1",
    "@SUM(1)",
    "-1",
    "--help",
    "'\"`",
    "\\",
    "../up",
    "a/b",
    "%s%n",
    "null",
    "e\u{301}",
    "\u{1f4a5}",
];
