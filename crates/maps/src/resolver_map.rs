//! Class `dns`: records of the sort that `-R` names; the first, or with `-z` all, at most `-Z` of them.

use policy_cf::{Answer, MapSpec, OpenFailure};

use crate::dns::{Data, Failure, Kind, Resolver};

const NO_HOST: u8 = 68;
const TEMPORARY: u8 = 75;

/// A map of class dns.
#[derive(Debug)]
pub(crate) struct Names {
    kind: Kind,
    separator: Option<Vec<u8>>,
    limit: usize,
    domain: Option<Vec<u8>>,
    timeout_s: Option<u64>,
    tries: Option<u32>,
}

impl Names {
    /// Reads the flags of a K line.
    ///
    /// # Errors
    /// No sort, or an unknown one.
    pub(crate) fn open(spec: &MapSpec) -> Result<Self, OpenFailure> {
        let failure = |what: &[u8]| OpenFailure {
            text: [b"dns map ", &*spec.name, b": ", what].concat(),
            class_unknown: false,
        };
        let named = spec.flag(b'R').ok_or_else(|| failure(b"missing -R type"))?;
        let kind =
            Kind::by_name(named).ok_or_else(|| failure(&[b"wrong type ", named].concat()))?;
        Ok(Self {
            kind,
            separator: spec.flag(b'z').map(<[u8]>::to_vec),
            limit: number(spec.flag(b'Z')).filter(|&limit| limit > 0).unwrap_or(usize::MAX),
            domain: spec.flag(b'B').map(<[u8]>::to_vec),
            timeout_s: number(spec.flag(b'd').map(|text| text.strip_suffix(b"s").unwrap_or(text))),
            tries: number(spec.flag(b'r')),
        })
    }

    pub(crate) fn lookup(&self, resolver: &Resolver, key: &[u8]) -> Answer {
        let resolver = resolver.clone().with_patience(self.timeout_s, self.tries);
        let name = match &self.domain {
            Some(domain) => [key, b".", domain].concat(),
            None => key.to_vec(),
        };
        let answer = match resolver.search_for(&name, self.kind) {
            Ok(answer) => answer,
            Err(Failure::NotNow) => return Answer::TempFail(TEMPORARY),
            Err(Failure::NoName | Failure::NoData) => return Answer::NotFound(NO_HOST),
        };
        let mut values =
            answer.records.into_iter().filter(|record| record.kind == self.kind).filter_map(
                |record| match record.data {
                    Data::Name(name) | Data::Exchanger(_, name) | Data::Service(name) => Some(name),
                    Data::Text(text) => Some(text),
                    Data::Address(address) => Some(address.to_string().into_bytes()),
                    Data::Other => None,
                },
            );
        let value = match &self.separator {
            None => values.next(),
            Some(separator) => {
                let all: Vec<_> = values.take(self.limit).collect();
                (!all.is_empty()).then(|| all.join(&**separator))
            }
        };
        value.map_or(Answer::NotFound(NO_HOST), Answer::Found)
    }
}

fn number<T: std::str::FromStr>(text: Option<&[u8]>) -> Option<T> {
    str::from_utf8(text?).ok()?.trim().parse().ok()
}
