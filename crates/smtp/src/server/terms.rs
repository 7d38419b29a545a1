//! What all sessions of one configuration share.

use policy::Settings;

/// The owner's settings. Made once, shared by all sessions (`Arc`).
#[derive(Debug)]
pub struct Terms {
    /// The owner's settings.
    pub settings: Settings,
}
