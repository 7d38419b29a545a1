//! Jobs that are owed reports: each recipient is reported exactly once, also if the task that had the job dies.

use crate::Job;
use crate::pool::{Office, everybody};
use crate::talk::Talk;
use queue::{Outcome, Scope, Status, Trouble};
use std::cell::Cell;
use std::rc::Rc;

/// A job that is owed a report, or a part of one.
pub(crate) struct Ticket {
    /// `None` once it is reported.
    pub(crate) job: Option<Job>,
    pub(crate) office: Rc<Office>,
    /// Whether a connection was lost under it.
    pub(crate) is_second_try: bool,
    /// Parts of the job that was submitted which are not reported.
    open: Rc<Cell<usize>>,
}

impl Ticket {
    pub(crate) fn new(job: Job, office: Rc<Office>) -> Self {
        Self { job: Some(job), office, is_second_try: false, open: Rc::new(Cell::new(1)) }
    }

    /// The same job in parts. Together they have all its recipients.
    pub(crate) fn divide(mut self, parts: Vec<Job>) -> Vec<Self> {
        self.job = None;
        let more = parts.len().saturating_sub(1);
        self.open.set(self.open.get().saturating_add(more));
        self.office.count_more(more);
        let part = |job| Self {
            job: Some(job),
            office: Rc::clone(&self.office),
            is_second_try: false,
            open: Rc::clone(&self.open),
        };
        parts.into_iter().map(part).collect()
    }

    /// The same, in parts that this makes of it.
    pub(crate) fn divide_with(mut self, parts: impl FnOnce(Job) -> Vec<Job>) -> Vec<Self> {
        match self.job.take() {
            Some(job) => self.divide(parts(job)),
            None => Vec::new(),
        }
    }

    pub(crate) fn report(mut self, results: Vec<(u32, Outcome)>, talk: Vec<Talk>) {
        if let Some(job) = self.job.take() {
            self.tell(&job, results, talk);
        }
    }

    /// The same outcome for everybody.
    pub(crate) fn report_all(mut self, outcome: &Outcome) {
        if let Some(job) = self.job.take() {
            self.tell(&job, everybody(&job, outcome), Vec::new());
        }
    }

    /// The message is larger than its mailer takes: each host is told by itself.
    pub(crate) fn report_too_large(self) {
        for ticket in self.divide_with(crate::share::by_host) {
            let too_large = ticket
                .job
                .as_ref()
                .and_then(|job| Trouble::too_large(&job.batch, job.carriage.message_bytes_max));
            if let Some(trouble) = too_large {
                ticket.report_all(&Outcome::Never(trouble));
            }
        }
    }

    fn tell(&self, job: &Job, results: Vec<(u32, Outcome)>, talk: Vec<Talk>) {
        let open = self.open.get().saturating_sub(1);
        self.open.set(open);
        self.office.report(job, results, open == 0, talk);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let trouble = Trouble::ours(Status(4, 3, 0), b"delivery was broken off");
            let results = everybody(&job, &Outcome::Later { trouble, scope: Scope::Recipient });
            self.tell(&job, results, Vec::new());
        }
    }
}
