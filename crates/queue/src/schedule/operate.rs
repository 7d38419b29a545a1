//! What the operator can do to one message: keep it back, let it go, throw it away. A message that
//! is not in memory is read first, so that its log lines and its note are right.

use super::{Action, Actions, Scheduler};
use crate::event::Event;
use crate::note::Hold;
use crate::slots::{Order, Phase};

/// Why a message is kept back that the operator kept back.
const BY_OPERATOR: &[u8] = b"held by the operator";

impl Scheduler {
    pub(super) fn hold(&mut self, slot: u32, actions: &mut Actions) {
        self.order(slot, Order::Hold, actions);
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

    fn order(&mut self, slot: u32, order: Order, actions: &mut Actions) {
        let Some(row) = self.slots.row_mut(slot) else { return };
        if row.order == Order::Remove || (order == Order::Hold && row.phase == Phase::Held) {
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
        let Some(active) = self.active.get_mut(&slot) else { return };
        if !active.is_held() {
            active.note.hold = Hold::Held(BY_OPERATOR.into());
            active.is_dirty = true;
            let event = Event::Held { id: active.envelope.id, reason: BY_OPERATOR.into() };
            actions.push(Action::log(event));
        }
    }
}
