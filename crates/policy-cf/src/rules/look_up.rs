//! Look-ups inside a right side: `$[ host $]` and `$( map key $@ argument $: default $)`.

use super::LOOKUP_ARGUMENTS_MAX;
use crate::machine::{Machine, ScanTable, exit};
use crate::token::{KEY_OCTETS_MAX, NAME_OCTETS_MAX, TOKENS_MAX, Token, meta};
use alloc::vec::Vec;
use core::ops::Range;

/// Octets that the arguments of one look-up may have together.
const ARGUMENT_OCTETS_MAX: usize = NAME_OCTETS_MAX + TOKENS_MAX;

/// The longest name of a map that is found: a token is no longer.
const MAP_NAME_MAX: usize = NAME_OCTETS_MAX;

/// One look-up: where its parts stand among the tokens.
struct LookUp {
    map: Name,
    key: Range<usize>,
    arguments: Vec<Range<usize>>,
    default: Option<Range<usize>>,
    /// From its first mark to behind its last.
    whole: Range<usize>,
}

/// The map that is asked.
#[derive(Clone, Copy)]
enum Name {
    /// `$[`
    Host,
    Word(Token),
    Missing,
}

impl LookUp {
    /// Reads the look-up that begins at `from`; a mark that is missing is taken to stand at the end.
    fn read(tokens: &[Token], from: usize) -> Self {
        let is_host = tokens.get(from).is_some_and(|token| token.lead == meta::HOST_BEGIN);
        let end = if is_host { meta::HOST_END } else { meta::LOOKUP_END };
        let mut at = from.saturating_add(1);
        let mut map = Name::Host;
        if !is_host {
            map = tokens.get(at).map_or(Name::Missing, |token| Name::Word(*token));
            at = at.saturating_add(1).min(tokens.len());
        }
        let mut look_up =
            Self { map, key: at..at, arguments: Vec::new(), default: None, whole: from..at };
        let mut begin = at;
        let mut part = meta::LOOKUP_BEGIN;
        loop {
            let lead = tokens.get(at).map(|token| token.lead);
            let ends = lead.is_none_or(|lead| lead == end);
            if ends || matches!(lead, Some(meta::HOST | meta::USER)) {
                look_up.keep(part, begin..at);
                part = lead.unwrap_or(end);
                begin = at.saturating_add(1);
            }
            at = at.saturating_add(1);
            if ends {
                look_up.whole.end = at.min(tokens.len());
                return look_up;
            }
        }
    }

    fn keep(&mut self, part: u8, tokens: Range<usize>) {
        match part {
            meta::HOST => self.arguments.push(tokens),
            meta::USER => self.default = Some(tokens),
            _ => self.key = tokens,
        }
    }
}

impl Machine<'_> {
    /// Carries out all look-ups in `tokens`, from left to right.
    pub(crate) fn look_ups(&mut self, tokens: &mut Vec<Token>, room: usize) -> Result<u8, u8> {
        let mut status = exit::OK;
        let mut at = 0;
        let mut new = self.spare.pop().unwrap_or_default();
        while let Some(token) = tokens.get(at) {
            if !matches!(token.lead, meta::HOST_BEGIN | meta::LOOKUP_BEGIN) {
                at = at.saturating_add(1);
                continue;
            }
            let look_up = LookUp::read(tokens, at);
            new.clear();
            self.answer(tokens, &look_up, &mut new, &mut status)?;
            let behind = tokens.len().saturating_sub(look_up.whole.end);
            at = at.saturating_add(new.len());
            if at.saturating_add(behind) >= room {
                self.system_error(b"554 5.3.0 rewrite: expansion too long", None);
                return Err(exit::DATAERR);
            }
            tokens.splice(look_up.whole, new.iter().copied());
        }
        self.spare.push(new);
        Ok(status)
    }

    /// Puts what a look-up gave behind `new`.
    fn answer(
        &mut self,
        tokens: &[Token],
        look_up: &LookUp,
        new: &mut Vec<Token>,
        status: &mut u8,
    ) -> Result<(), u8> {
        let of = |range: &Range<usize>| tokens.get(range.clone()).unwrap_or_default();
        let mut room = [0; MAP_NAME_MAX];
        let name = self.map_name(look_up.map, &mut room);
        let map = self.config.maps.get(name).cloned();
        if map.is_none() {
            self.no_map(look_up.map);
        }
        let mut arguments = Vec::new();
        let mut room = ARGUMENT_OCTETS_MAX;
        for argument in look_up.arguments.iter().take(LOOKUP_ARGUMENTS_MAX.saturating_sub(2)) {
            let text = self.join(of(argument), 0, false, room);
            room = room.saturating_sub(text.len().saturating_add(1));
            arguments.push(text);
        }
        let separator = map.as_ref().map_or(0, |map| map.space);
        let mut key = core::mem::take(&mut self.key);
        key.clear();
        self.join_into(&mut key, of(&look_up.key), separator, true, KEY_OCTETS_MAX);
        let mut value = map.and_then(|map| self.ask(&map, name, (&key, &arguments), status));
        self.key = key;
        if value.is_none()
            && let Some(default) = &look_up.default
        {
            if let [word] = of(default)
                && self.config.tables.is_plain(self.config.arena.text(*word))
            {
                new.push(*word);
                return Ok(());
            }
            value = Some(self.join(of(default), 0, false, KEY_OCTETS_MAX));
        }
        match value {
            None => new.extend_from_slice(of(&look_up.key)),
            Some(value) if value.is_empty() => {}
            Some(value) => {
                let (found, _) = self.scan(&value, ScanTable::Outside, 0, new);
                if !found {
                    return Err(exit::DATAERR);
                }
            }
        }
        Ok(())
    }

    /// The map's name in lower case; empty if none can have it.
    fn map_name<'a>(&self, name: Name, room: &'a mut [u8; MAP_NAME_MAX]) -> &'a [u8] {
        let text: &[u8] = match name {
            Name::Host => b"host",
            Name::Word(token) => self.config.arena.text(token),
            Name::Missing => b"",
        };
        let Some(place) = room.get_mut(..text.len()) else { return b"" };
        place.copy_from_slice(text);
        place.make_ascii_lowercase();
        place
    }

    fn no_map(&mut self, name: Name) {
        let text = match name {
            Name::Host => b"host".to_vec(),
            Name::Word(token) => self.config.arena.text(token).to_vec(),
            Name::Missing => {
                self.system_error(b"554 5.3.0 rewrite: missing mapname", None);
                Vec::new()
            }
        };
        let text = [b"554 5.3.0 rewrite: map ", text.as_slice(), b" not found"].concat();
        self.system_error(&text, None);
    }
}
