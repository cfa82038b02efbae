//! What only a development chain can do.

/// The power to change a chain against its rules: to edit its state, to go back,
/// to execute what nobody signed. Whoever has none cannot (law 10); a node hands
/// it out only where its settings say that it is for development.
#[derive(Clone, Copy, Debug)]
pub struct Powers(());

impl Powers {
    /// The powers of a chain that is for development and nothing else.
    pub const fn of_a_development_chain() -> Self {
        Self(())
    }
}
