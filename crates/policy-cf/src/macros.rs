//! Macros: names to numbers, numbers to values, and values put into text (manual, section 5.2).
//!
//! A macro of one letter is its own number; a long name gets one from 0xA0 on, so that a reference in
//! text is always two octets. The same numbers name classes.

use crate::token::meta;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The longest name of a macro.
pub const MACRO_NAME_MAX: usize = 25;
/// How deep a macro may refer to macros.
const EXPANSION_DEPTH_MAX: u32 = 10;
/// The longest expanded text (sendmail's MACBUFSIZE).
const EXPANDED_OCTETS_MAX: usize = 4096;
/// The first number of a long name.
const FIRST_LONG_ID: u8 = 0xa0;
/// The last number of a long name: 0xFF quotes.
const LAST_LONG_ID: u8 = 0xfe;

/// Names of macros and classes, and the macros' values.
#[derive(Debug, Clone)]
pub struct Macros {
    values: Vec<Option<Vec<u8>>>,
    ids: BTreeMap<Vec<u8>, u8>,
    names: Vec<Vec<u8>>,
    /// What [`Macros::rest`] goes back to: values, and how many long names there were.
    ground: Arc<Vec<Option<Vec<u8>>>>,
    ground_names: usize,
    /// Numbers set since the ground was laid, and since the last [`Macros::mark`].
    changed: [u64; 4],
    marked: [u64; 4],
}

/// A name that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRead {
    /// The number; 0 if there is none.
    pub id: u8,
    /// How many octets the name took.
    pub taken: usize,
    /// sendmail's complaints, in order.
    pub complaints: Vec<Vec<u8>>,
}

impl Default for Macros {
    fn default() -> Self {
        let mut macros = Self {
            values: alloc::vec![None; 256],
            ids: BTreeMap::new(),
            names: Vec::new(),
            ground: Arc::default(),
            ground_names: 0,
            changed: [0; 4],
            marked: [0; 4],
        };
        for (letter, symbol) in meta::LETTERS {
            macros.set(letter, Some(alloc::vec![symbol]));
        }
        for digit in b'0'..=b'9' {
            macros.set(digit, Some(alloc::vec![meta::POSITION, digit]));
        }
        macros
    }
}

impl Macros {
    /// The value of a macro.
    #[must_use]
    pub fn value(&self, id: u8) -> Option<&[u8]> {
        self.values.get(usize::from(id)).and_then(Option::as_deref)
    }

    /// Sets or unsets a macro.
    pub fn set(&mut self, id: u8, value: Option<Vec<u8>>) {
        if let Some(place) = self.values.get_mut(usize::from(id)) {
            *place = value;
        }
        let (word, bit) = (usize::from(id >> 6), 1_u64.wrapping_shl(u32::from(id & 63)));
        for set in [&mut self.changed, &mut self.marked] {
            if let Some(bits) = set.get_mut(word) {
                *bits |= bit;
            }
        }
    }

    /// Lays the ground: the values of now are those that [`Macros::rest`] goes back to.
    pub fn lay_ground(&mut self) {
        self.ground = Arc::new(self.values.clone());
        self.ground_names = self.names.len();
        self.changed = [0; 4];
    }

    /// Goes back to the ground: values as they were, names that came since forgotten.
    pub fn rest(&mut self) {
        for id in ids_in(core::mem::take(&mut self.changed)) {
            let value = self.ground.get(usize::from(id)).cloned().flatten();
            if let Some(place) = self.values.get_mut(usize::from(id)) {
                *place = value;
            }
        }
        while self.names.len() > self.ground_names {
            if let Some(name) = self.names.pop() {
                self.ids.remove(&name);
            }
        }
    }

    /// How many long names there are.
    #[must_use]
    pub const fn long_names(&self) -> usize {
        self.names.len()
    }

    /// From now on [`Macros::since_mark`] counts.
    pub const fn mark(&mut self) {
        self.marked = [0; 4];
    }

    /// What was set since the last mark: names as `$` has them, and values.
    #[must_use]
    pub fn since_mark(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        ids_in(self.marked)
            .map(|id| {
                let mut name = Vec::new();
                self.show_name(id, &mut name);
                (name, self.value(id).unwrap_or_default().to_vec())
            })
            .collect()
    }

    /// Sets a macro by its name without braces.
    pub fn set_named(&mut self, name: &[u8], value: &[u8]) {
        if let Some(id) = self.id(name) {
            self.set(id, Some(value.to_vec()));
        }
    }

    /// Whether a long name was met yet.
    #[must_use]
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.ids.contains_key(name)
    }

    /// The value of a macro by its name without braces, if the name is known.
    #[must_use]
    pub fn value_named(&self, name: &[u8]) -> Option<&[u8]> {
        match name {
            [letter] => self.value(*letter),
            _ => self.ids.get(name).and_then(|id| self.value(*id)),
        }
    }

    /// The number of a name without braces, given to it now if it is new; `None` if there is no room.
    pub fn id(&mut self, name: &[u8]) -> Option<u8> {
        if let [letter] = name {
            return Some(*letter);
        }
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let id = u8::try_from(self.names.len())
            .ok()
            .and_then(|count| FIRST_LONG_ID.checked_add(count))
            .filter(|id| *id <= LAST_LONG_ID)?;
        self.names.push(name.to_vec());
        self.ids.insert(name.to_vec(), id);
        Some(id)
    }

    /// Reads the name of a macro or class at the start of `text`: `x` or `{name}`.
    pub fn read_name(&mut self, text: &[u8]) -> NameRead {
        let mut complaints = Vec::new();
        let Some((first, rest)) = text.split_first() else {
            complaints.push(b"Name required for macro/class".to_vec());
            return NameRead { id: 0, taken: 0, complaints };
        };
        if *first != b'{' {
            return NameRead { id: *first, taken: 1, complaints };
        }
        if rest.first() == Some(&b'}') {
            complaints.push(b"Name required for macro/class".to_vec());
            return NameRead { id: 0, taken: 0, complaints };
        }
        let mut name = Vec::new();
        let mut taken = 1_usize;
        let mut closed = false;
        for octet in rest {
            if *octet == b'}' {
                closed = true;
                break;
            }
            if name.len() >= MACRO_NAME_MAX {
                break;
            }
            if octet.is_ascii_alphanumeric() || *octet == b'_' {
                name.push(*octet);
            } else {
                let mut text = b"Invalid macro/class character ".to_vec();
                text.push(*octet);
                complaints.push(text);
            }
            taken = taken.saturating_add(1);
        }
        let mut id = None;
        if closed {
            id = if name.is_empty() { Some(0) } else { self.id(&name) };
            taken = taken.saturating_add(1);
            if id.is_none() {
                let text = [b"Macro/class {", name.as_slice(), b"}: too many long names"].concat();
                complaints.push(text);
            }
        } else if taken > rest.len() {
            complaints.push([b"Unbalanced { on ", name.as_slice()].concat());
        } else {
            let text = [b"Macro/class name ({", name.as_slice(), b"}) too long (25 chars max)"];
            complaints.push(text.concat());
        }
        if id.is_none() {
            complaints.push(b"Unable to assign macro/class ID (mid = 0xffffffff)".to_vec());
        }
        NameRead { id: id.unwrap_or(0), taken, complaints }
    }

    /// Writes the name of a number as `$` has it: `x` or `{name}`.
    pub fn show_name(&self, id: u8, out: &mut Vec<u8>) {
        if id < 0x80 {
            out.push(id);
            return;
        }
        out.push(b'{');
        let index = id.checked_sub(FIRST_LONG_ID).map(usize::from);
        match index.and_then(|index| self.names.get(index)) {
            Some(name) => out.extend_from_slice(name),
            None => out.push(id),
        }
        out.push(b'}');
    }

    /// Puts the values of macros into `text`: `$x`, and `$?x … $| … $.`.
    ///
    /// # Errors
    /// Macros that refer to each other too deeply; the text is then what there was at the deepest.
    pub fn expand(&self, text: &[u8]) -> Result<Vec<u8>, TooDeep> {
        let mut from = text.to_vec();
        for _ in 0..=EXPANSION_DEPTH_MAX {
            let (into, again) = self.expand_once(&from);
            if !again {
                return Ok(into);
            }
            from = into;
        }
        Err(TooDeep(from))
    }

    fn expand_once(&self, text: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(text.len().saturating_add(32));
        let mut again = false;
        let (mut skipping, mut skipped_ifs, mut ifs) = (false, 0_u32, 0_u32);
        let mut octets = text.iter().copied();
        while let Some(octet) = octets.next() {
            let mut plain = octet;
            match octet {
                meta::IF => {
                    ifs = ifs.saturating_add(1);
                    let id = octets.next().unwrap_or(0);
                    if skipping {
                        skipped_ifs = skipped_ifs.saturating_add(1);
                    } else {
                        skipping = self.value(id).is_none_or(<[u8]>::is_empty);
                    }
                    continue;
                }
                meta::ELSE if ifs > 0 => {
                    if skipped_ifs == 0 {
                        skipping = !skipping;
                    }
                    continue;
                }
                meta::FI if ifs > 0 => {
                    ifs = ifs.saturating_sub(1);
                    if skipped_ifs == 0 {
                        skipping = false;
                    } else {
                        skipped_ifs = skipped_ifs.saturating_sub(1);
                    }
                    continue;
                }
                meta::MACRO => {
                    let Some(id) = octets.next() else { continue };
                    let Some(value) = self.value(id) else { continue };
                    if !skipping {
                        again |= add_value(value, &mut out);
                    }
                    continue;
                }
                meta::QUOTE => {
                    if !skipping {
                        out.push(octet);
                    }
                    let Some(next) = octets.next() else { continue };
                    plain = next;
                }
                _ => {}
            }
            if !skipping && out.len() < EXPANDED_OCTETS_MAX {
                out.push(plain);
            }
        }
        (out, again)
    }
}

/// The numbers of a set.
fn ids_in(set: [u64; 4]) -> impl Iterator<Item = u8> {
    set.into_iter().zip([0_u8, 64, 128, 192]).flat_map(|(mut bits, base)| {
        core::iter::from_fn(move || {
            let bit = u8::try_from(bits.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
            bits &= bits.wrapping_sub(1);
            Some(base.saturating_add(bit))
        })
    })
}

/// Macros refer to each other too deeply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooDeep(pub Vec<u8>);

/// Adds a macro's value; `true` if it holds metasymbols that are to be expanded in turn.
fn add_value(value: &[u8], out: &mut Vec<u8>) -> bool {
    let mut again = false;
    let mut quoted = false;
    for octet in value {
        if out.len() >= EXPANDED_OCTETS_MAX {
            break;
        }
        again |= !quoted && octet & 0xe0 == 0x80;
        out.push(*octet);
        quoted = *octet == meta::QUOTE;
    }
    again
}
