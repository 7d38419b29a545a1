//! What a server takes in a transaction, where it says so (RFC 9422): a job with more recipients or domains goes in parts.

use crate::Job;
use crate::share::part;
use queue::BatchRecipient;
use smtp::client::Limits;

/// Whether a job is more than a server takes at once.
pub(crate) fn is_above(job: &Job, limits: Limits) -> bool {
    let recipients = &job.batch.recipients;
    let is_above = |count: usize, most: Option<u32>| {
        most.is_some_and(|most| count > usize::try_from(most).unwrap_or(usize::MAX))
    };
    is_above(recipients.len(), limits.recipients)
        || (limits.domains.is_some() && is_above(domains(recipients).len(), limits.domains))
}

/// The same job in parts that the server takes, each recipient in the first that has room.
pub(crate) fn parts(mut job: Job, limits: Limits) -> Vec<Job> {
    let most = |limit: Option<u32>| {
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX).max(1)
    };
    let (recipients_max, domains_max) = (most(limits.recipients), most(limits.domains));
    let mut groups: Vec<Vec<BatchRecipient>> = Vec::new();
    for one in std::mem::take(&mut job.batch.recipients) {
        let fits = |group: &&mut Vec<BatchRecipient>| {
            let known = domains(group);
            group.len() < recipients_max
                && (known.len() < domains_max || known.contains(&domain(&one)))
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let host = job.batch.host.clone();
    groups.into_iter().map(|group| part(&job, host.clone(), group)).collect()
}

/// The domains of recipients, each once.
fn domains(recipients: &[BatchRecipient]) -> Vec<Vec<u8>> {
    let mut domains: Vec<Vec<u8>> = recipients.iter().map(domain).collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}

/// The domain of a recipient, as the server will see it.
fn domain(one: &BatchRecipient) -> Vec<u8> {
    let address = one.user.rsplit(|&octet| octet == b'@').next();
    address.unwrap_or_default().to_ascii_lowercase()
}
