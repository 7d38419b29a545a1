//! Mixed letters, the same in each run: empty and large, 8-bit, dots, long lines, many recipients.

/// Users of the receiver, `u0` and on.
const USERS: usize = 50;

/// A letter, and what of it must arrive.
pub(crate) struct Letter {
    /// Its place among all; a header field says it.
    pub(crate) number: usize,
    /// Header fields, lines with LF.
    pub(crate) header: Vec<u8>,
    /// What lies between header and body: nothing in a letter that has no body.
    pub(crate) gap: &'static [u8],
    /// The lines of the body, without their ends.
    pub(crate) lines: Vec<Vec<u8>>,
    /// For the users of these numbers.
    pub(crate) users: Vec<usize>,
    /// Given to `sendmail`, not by SMTP.
    pub(crate) by_command: bool,
    /// Octets above 127 are in it.
    pub(crate) is_8bit: bool,
}

impl Letter {
    /// The body with LF.
    pub(crate) fn body(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect()
    }
}

/// That many.
pub(crate) fn letters(count: usize) -> Vec<Letter> {
    let mut random = Random(0x1d0_0d5);
    (0..count).map(|number| letter(number, &mut random)).collect()
}

/// Kinds of letters by turns, so that a short run has them all.
fn letter(number: usize, random: &mut Random) -> Letter {
    let kind = number % 20;
    let lines = match kind {
        0 | 1 => Vec::new(),
        2 => [".", "..", ". .", "", ".", "...x"].map(|line| line.as_bytes().to_vec()).to_vec(),
        3 => (0..=random.below(20)).map(|_| random.line(998, b' ', b'~')).collect(),
        4 => (0..=random.below(5)).map(|_| random.long_line()).collect(),
        // Not only UTF-8: whatever may stand in a line but NUL.
        5 => (0..=random.below(40)).map(|_| random.line(200, 1, 255)).collect(),
        6 if number % 100 == 6 => lines_of(random, 262_144, 1_048_576),
        7 => vec![Vec::new(); 1 + random.below(9)],
        8 => lines_of(random, 16_384, 65_536),
        _ => lines_of(random, 1, 4096),
    };
    let users = match kind {
        9 => (0..USERS).collect(),
        10 => (0..=random.below(9)).collect(),
        _ => vec![random.below(USERS)],
    };
    let is_8bit = lines.iter().any(|line| !line.is_ascii());
    let mime = if is_8bit {
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
    } else {
        ""
    };
    let header = format!(
        "From: sender@sender.test\nTo: u0@example.test\nSubject: letter\n {number}\nX-Number: {number}\n{mime}"
    );
    Letter {
        number,
        header: header.into_bytes(),
        gap: if kind == 1 { b"" } else { b"\n" },
        lines,
        users,
        by_command: kind > 4 && number % 7 == 5,
        is_8bit,
    }
}

/// Lines of many kinds, about so many octets.
fn lines_of(random: &mut Random, least: usize, most: usize) -> Vec<Vec<u8>> {
    let size = least + random.below(most - least);
    let (mut lines, mut sum) = (Vec::new(), 0);
    while sum < size {
        let line = match random.below(24) {
            0 => b".".to_vec(),
            1 => [b".".to_vec(), random.line(70, b' ', b'~')].concat(),
            2 => Vec::new(),
            3 => [b"From ".to_vec(), random.line(70, b' ', b'~')].concat(),
            4 => [random.line(70, b'a', b'z'), b" \t ".to_vec()].concat(),
            5 => "Grüße aus Köln, 日本語 …".as_bytes().to_vec(),
            6 => b"=20 =3D= --x >From ".to_vec(),
            _ => random.line(78, b' ', b'~'),
        };
        sum += line.len() + 2;
        lines.push(line);
    }
    lines
}

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    /// A line of octets from `first` to `last` but CR and LF; half of those of 998 are no shorter.
    fn line(&mut self, most: usize, first: u8, last: u8) -> Vec<u8> {
        let length = if most == 998 && self.below(2) == 0 { most } else { self.below(most) };
        let span = usize::from(last - first) + 1;
        (0..length)
            .map(|_| match first + u8::try_from(self.below(span)).unwrap() {
                b'\r' | b'\n' => b'x',
                octet => octet,
            })
            .collect()
    }

    /// Longer than the standard allows (RFC 5321, 4.5.3.1.6); people send them, servers let them through.
    fn long_line(&mut self) -> Vec<u8> {
        let length = 999 + self.below(6000);
        (0..length).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect()
    }
}
