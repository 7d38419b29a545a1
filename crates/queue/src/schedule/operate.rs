//! What the operator can do to one message: keep it back, let it go, throw it away. A message that
//! is not in memory is read first, so that its log lines and its note are right.

use super::{Action, Actions, Scheduler};
use crate::event::Event;
use crate::note::Hold;
use crate::slots::{Order, Phase};
use alloc::boxed::Box;

/// Why a message is kept back that the operator kept back.
const BY_OPERATOR: &[u8] = b"held by the operator";

impl Scheduler {
    pub(super) fn hold(&mut self, slot: u32, reason: Option<Box<[u8]>>, actions: &mut Actions) {
        if let Some(reason) = reason.filter(|_| self.slots.row(slot).is_some()) {
            self.hold_reasons.insert(slot, reason);
        }
        self.order(slot, Order::Hold, actions);
    }

    /// Tries a message that is kept back.
    pub(super) fn try_held(&mut self, slot: u32, actions: &mut Actions) {
        if let Some(row) = self.slots.row_mut(slot)
            && row.phase == Phase::Held
            && row.order == Order::None
        {
            row.order = Order::Try;
            self.read(slot, actions);
        }
    }

    pub(super) fn remove(&mut self, slot: u32, actions: &mut Actions) {
        self.order(slot, Order::Remove, actions);
    }

    /// Lets a message go that is kept back.
    pub(super) fn release(&mut self, slot: u32, actions: &mut Actions) {
        let Some(row) = self.slots.row_mut(slot) else { return };
        match (row.phase, row.order) {
            (Phase::Held, _) => {
                row.order = Order::Release;
                self.read(slot, actions);
            }
            // Being read or tried on the way to being kept back: the way ends here.
            (Phase::Loading | Phase::Active, Order::Hold) => row.order = Order::None,
            (Phase::Free | Phase::Waiting | Phase::Lined | Phase::Loading | Phase::Active, _) => {}
        }
    }

    /// A message that nobody can get is where its owner wants such.
    pub(super) fn saved(&mut self, slot: u32, actions: &mut Actions) {
        // Let go by the operator meanwhile it goes its way, and may be saved once more.
        if self.slots.row(slot).is_some_and(|row| row.phase == Phase::Held) {
            self.order(slot, Order::Forget, actions);
        }
    }

    fn order(&mut self, slot: u32, order: Order, actions: &mut Actions) {
        let Some(row) = self.slots.row_mut(slot) else { return };
        if row.order == Order::Remove || (order == Order::Hold && row.phase == Phase::Held) {
            self.hold_reasons.remove(&slot);
            return;
        }
        row.order = order;
        match row.phase {
            Phase::Waiting | Phase::Lined | Phase::Held => self.read(slot, actions),
            Phase::Active => self.withdraw(slot),
            Phase::Free | Phase::Loading => {}
        }
    }

    /// Carries out an order to hold, for a message with which nothing goes on.
    pub(super) fn obey_hold(&mut self, slot: u32, actions: &mut Actions) {
        let reason = self.hold_reasons.remove(&slot).unwrap_or_else(|| BY_OPERATOR.into());
        let Some(active) = self.active.get_mut(&slot) else { return };
        if !active.is_held() {
            active.note.hold = Hold::Held(reason.clone());
            active.is_dirty = true;
            let event = Event::Held { id: active.envelope.id, reason };
            actions.push(Action::log(event));
        }
    }
}
