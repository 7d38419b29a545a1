//! Where mail goes that its own exchangers do not take: `FallbackMXhost`, `FallbackSmartHost`, `TryNullMXList`.
//!
//! Each is looked up as a host of a route. A fallback stands behind the exchangers of a domain, never behind a host in
//! brackets, and not where the mail would come back to us.

use crate::mx::{self, Found, Host, Ourselves, parse_hosts};
use crate::nowhere::Nowhere;
use crate::resolve::Lookup;
use policy::settings::Calling;

/// What the configuration says of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fallbacks {
    /// Behind the exchangers of every domain.
    mx: Box<[u8]>,
    /// For domains that DNS does not know.
    smart: Box<[u8]>,
    /// Whether a domain whose best exchanger we are is tried by its own address.
    tries_null_list: bool,
}

impl Fallbacks {
    pub(crate) fn new(calling: &Calling) -> Self {
        Self {
            mx: calling.fallback_mx.clone(),
            smart: calling.fallback_smart.clone(),
            tries_null_list: calling.tries_null_list,
        }
    }

    /// As [`mx::find`], with what stands behind.
    ///
    /// # Errors
    /// [`Nowhere`], if no fallback helps.
    pub(crate) async fn find(
        &self,
        host: &[u8],
        port: u16,
        ourselves: &Ourselves,
        lookup: &dyn Lookup,
        chance: &dyn Fn(&[u8]) -> u64,
    ) -> Result<Found, Nowhere> {
        let found = mx::find(host, port, ourselves, lookup, chance).await;
        if !has_domain(host, port) {
            return found;
        }
        let found = match found {
            Err(Nowhere::PointsBack { .. }) if self.tries_null_list => {
                let single = [b"[", host, b"]"].concat();
                mx::find(&single, port, ourselves, lookup, chance).await
            }
            found => found,
        };
        let helps = !matches!(
            found,
            Err(Nowhere::PointsBack { .. } | Nowhere::NullMx(_) | Nowhere::BadHost(_))
        );
        let found = if helps && !self.mx.is_empty() {
            match (found, mx::find(&self.mx, port, ourselves, lookup, chance).await) {
                (Ok(mut found), Ok(behind)) => {
                    found.append(behind);
                    Ok(found)
                }
                (Err(_), Ok(behind)) => Ok(behind),
                (found, Err(_)) => found,
            }
        } else {
            found
        };
        match found {
            Err(Nowhere::Unknown(_) | Nowhere::NoAddress(_)) if !self.smart.is_empty() => {
                let single = [b"[", &*self.smart, b"]"].concat();
                let mut found = mx::find(&single, port, ourselves, lookup, chance).await?;
                for hop in &mut found.hops {
                    hop.is_as_written = true;
                }
                Ok(found)
            }
            found => found,
        }
    }
}

/// Whether a route names a domain that may have exchangers.
fn has_domain(host: &[u8], port: u16) -> bool {
    let hosts = parse_hosts(host, port).unwrap_or_default();
    hosts.iter().any(|target| matches!(target.host, Host::Domain(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mx::Hop;
    use crate::resolve::{Answer, Query, QueryKind, Records};
    use std::future::Future;
    use std::pin::Pin;

    /// `a.test` has an exchanger, `back.test` an address; nothing else is there.
    struct Zone;

    impl Lookup for Zone {
        fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
            let four =
                |address: &str| Answer::found(Records::Addresses(vec![address.parse().unwrap()]));
            let answer = match (&*query.name, query.kind) {
                (b"a.test", QueryKind::Mx) => {
                    Answer::found(Records::Mx(vec![(10, b"mx.a.test"[..].into())]))
                }
                (b"mx.a.test", QueryKind::A) => four("192.0.2.1"),
                (b"back.test", QueryKind::A) => four("192.0.2.9"),
                (b"ours.test", QueryKind::Mx) => {
                    Answer::found(Records::Mx(vec![(10, b"us.test"[..].into())]))
                }
                (b"ours.test", QueryKind::A) => four("192.0.2.3"),
                (b"a.test" | b"mx.a.test" | b"back.test" | b"ours.test", _) => Answer::NoData,
                _ => Answer::NoSuchName,
            };
            Box::pin(std::future::ready(answer))
        }
    }

    fn names(fallbacks: &Fallbacks, host: &str) -> Option<Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ours = Ourselves { names: vec![b"us.test"[..].into()], ..Ourselves::default() };
        let chance = |_: &[u8]| 0;
        let found = runtime.block_on(fallbacks.find(host.as_bytes(), 25, &ours, &Zone, &chance));
        let shown = |hop: &Hop| String::from_utf8_lossy(&hop.shown()).into_owned();
        found.ok().map(|found| found.hops.iter().map(shown).collect())
    }

    #[test]
    fn a_fallback_stands_behind_domains_and_not_behind_hosts_in_brackets() {
        let fallbacks = Fallbacks { mx: b"back.test"[..].into(), ..Fallbacks::default() };
        assert_eq!(names(&fallbacks, "a.test").unwrap(), ["mx.a.test.", "back.test."]);
        assert_eq!(names(&fallbacks, "gone.test").unwrap(), ["back.test."]);
        assert_eq!(names(&fallbacks, "[mx.a.test]").unwrap(), ["mx.a.test."]);
        assert_eq!(names(&fallbacks, "[gone.test]"), None);
    }

    #[test]
    fn where_we_are_the_best_exchanger_the_address_of_the_domain_is_tried_only_if_that_is_wanted() {
        let fallbacks = Fallbacks { mx: b"back.test"[..].into(), ..Fallbacks::default() };
        assert_eq!(names(&fallbacks, "ours.test"), None);
        let fallbacks = Fallbacks { tries_null_list: true, ..fallbacks };
        assert_eq!(names(&fallbacks, "ours.test").unwrap(), ["ours.test.", "back.test."]);
    }

    #[test]
    fn a_smart_host_is_for_domains_that_nobody_knows() {
        let fallbacks = Fallbacks { smart: b"back.test"[..].into(), ..Fallbacks::default() };
        assert_eq!(names(&fallbacks, "a.test").unwrap(), ["mx.a.test."]);
        assert_eq!(names(&fallbacks, "gone.test").unwrap(), ["back.test"]);
    }
}
