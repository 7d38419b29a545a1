//! Look-ups inside a right side: `$[ host $]` and `$( map key $@ argument $: default $)`.

use super::LOOKUP_ARGUMENTS_MAX;
use crate::machine::{Machine, ScanTable, exit};
use crate::token::{KEY_OCTETS_MAX, NAME_OCTETS_MAX, TOKENS_MAX, Token, meta};
use alloc::vec::Vec;

/// Octets that the arguments of one look-up may have together.
const ARGUMENT_OCTETS_MAX: usize = NAME_OCTETS_MAX + TOKENS_MAX;

/// One look-up, cut out of the tokens.
struct LookUp {
    map: Option<Vec<u8>>,
    key: Vec<Token>,
    arguments: Vec<Vec<Token>>,
    default: Option<Vec<Token>>,
    /// Where it begins and ends in the tokens.
    from: usize,
    to: usize,
}

/// Which part of a look-up tokens belong to.
enum Part {
    Key,
    Argument,
    Default,
}

impl Machine<'_> {
    /// Carries out all look-ups in `tokens`, from left to right.
    pub(crate) fn look_ups(&mut self, tokens: &mut Vec<Token>, room: usize) -> Result<u8, u8> {
        let mut status = exit::OK;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if !matches!(token.lead, meta::HOST_BEGIN | meta::LOOKUP_BEGIN) {
                at = at.saturating_add(1);
                continue;
            }
            let look_up = self.cut(tokens, at);
            let new = self.answer(&look_up, &mut status)?;
            let count = new.len();
            let behind = tokens.len().saturating_sub(look_up.to);
            if at.saturating_add(count).saturating_add(behind) >= room {
                self.system_error(b"554 5.3.0 rewrite: expansion too long", None);
                return Err(exit::DATAERR);
            }
            tokens.splice(look_up.from..look_up.to.max(look_up.from), new);
            at = at.saturating_add(count);
        }
        Ok(status)
    }

    fn cut(&mut self, tokens: &[Token], from: usize) -> LookUp {
        let is_host = tokens.get(from).is_some_and(|token| token.lead == meta::HOST_BEGIN);
        let end = if is_host { meta::HOST_END } else { meta::LOOKUP_END };
        let mut at = from.saturating_add(1);
        let map = if is_host {
            Some(b"host".to_vec())
        } else {
            let name = tokens.get(at).map(|token| self.config.arena.text(*token).to_vec());
            at = at.saturating_add(1);
            name
        };
        let mut look_up =
            LookUp { map, key: Vec::new(), arguments: Vec::new(), default: None, from, to: at };
        let mut part = Part::Key;
        while let Some(token) = tokens.get(at) {
            at = at.saturating_add(1);
            match token.lead {
                lead if lead == end => break,
                meta::HOST => {
                    part = Part::Argument;
                    look_up.arguments.push(Vec::new());
                }
                meta::USER => {
                    part = Part::Default;
                    look_up.default = Some(Vec::new());
                }
                _ => match part {
                    Part::Key => look_up.key.push(*token),
                    Part::Argument => {
                        if let Some(argument) = look_up.arguments.last_mut() {
                            argument.push(*token);
                        }
                    }
                    Part::Default => {
                        if let Some(default) = &mut look_up.default {
                            default.push(*token);
                        }
                    }
                },
            }
        }
        look_up.to = at.min(tokens.len());
        look_up
    }

    fn answer(&mut self, look_up: &LookUp, status: &mut u8) -> Result<Vec<Token>, u8> {
        let name = look_up.map.as_deref().unwrap_or_default();
        if look_up.map.is_none() {
            self.system_error(b"554 5.3.0 rewrite: missing mapname", None);
        }
        let known = self.config.maps.contains_key(&name.to_ascii_lowercase());
        let separator = self.config.maps.get(&name.to_ascii_lowercase()).map_or(0, |map| map.space);
        if !known {
            let text = [b"554 5.3.0 rewrite: map ", name, b" not found"].concat();
            self.system_error(&text, None);
        }
        let mut arguments = Vec::new();
        let mut room = ARGUMENT_OCTETS_MAX;
        for argument in look_up.arguments.iter().take(LOOKUP_ARGUMENTS_MAX.saturating_sub(2)) {
            let text = self.join(argument, 0, false, room);
            room = room.saturating_sub(text.len().saturating_add(1));
            arguments.push(text);
        }
        let key = self.join(&look_up.key, separator, true, KEY_OCTETS_MAX);
        let mut value = if known { self.map_look_up(name, &key, &arguments, status) } else { None };
        if value.is_none()
            && let Some(default) = &look_up.default
        {
            value = Some(self.join(default, 0, false, KEY_OCTETS_MAX));
        }
        let Some(value) = value else { return Ok(look_up.key.clone()) };
        let mut new = Vec::new();
        if !value.is_empty() {
            let (found, _) = self.scan(&value, ScanTable::Outside, 0, &mut new);
            if !found {
                return Err(exit::DATAERR);
            }
        }
        Ok(new)
    }
}
