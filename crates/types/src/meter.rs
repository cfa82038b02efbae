use borsh::{BorshDeserialize, BorshSerialize};

/// What the kernel meters, beside each machine's own gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Meter {
    /// Work done, in the machine's own unit of gas, before refunds.
    Compute = 0,
    /// Accounts, slots and codes fetched from the state for the first time in
    /// the transaction.
    Reads = 1,
    /// Cells that differ from the state before the transaction, at its end.
    Writes = 2,
    /// Bytes of new code and values, at the transaction's end.
    Growth = 3,
    /// Data published beside the block (blob gas), in gas.
    Availability = 4,
    /// Frames opened in the kernel's call stack.
    Frames = 5,
}

impl Meter {
    /// Every meter, in the order of [`Resources`].
    pub const ALL: [Self; 6] =
        [Self::Compute, Self::Reads, Self::Writes, Self::Growth, Self::Availability, Self::Frames];

    /// The word for it in tables and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Growth => "growth",
            Self::Availability => "availability",
            Self::Frames => "frames",
        }
    }
}

/// An amount per [`Meter`]: what was used, or a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Resources {
    /// See [`Meter::Compute`].
    pub compute: u64,
    /// See [`Meter::Reads`].
    pub reads: u64,
    /// See [`Meter::Writes`].
    pub writes: u64,
    /// See [`Meter::Growth`].
    pub growth: u64,
    /// See [`Meter::Availability`].
    pub availability: u64,
    /// See [`Meter::Frames`].
    pub frames: u64,
}

impl Resources {
    /// No limit on any meter.
    pub const UNLIMITED: Self = Self {
        compute: u64::MAX,
        reads: u64::MAX,
        writes: u64::MAX,
        growth: u64::MAX,
        availability: u64::MAX,
        frames: u64::MAX,
    };

    /// The amount of one meter.
    pub const fn get(&self, meter: Meter) -> u64 {
        match meter {
            Meter::Compute => self.compute,
            Meter::Reads => self.reads,
            Meter::Writes => self.writes,
            Meter::Growth => self.growth,
            Meter::Availability => self.availability,
            Meter::Frames => self.frames,
        }
    }

    /// The amount of one meter, to change.
    pub const fn get_mut(&mut self, meter: Meter) -> &mut u64 {
        match meter {
            Meter::Compute => &mut self.compute,
            Meter::Reads => &mut self.reads,
            Meter::Writes => &mut self.writes,
            Meter::Growth => &mut self.growth,
            Meter::Availability => &mut self.availability,
            Meter::Frames => &mut self.frames,
        }
    }

    /// Adds `other`, meter by meter, stopping at the largest number.
    pub fn add(&mut self, other: &Self) {
        let Self { compute, reads, writes, growth, availability, frames } = self;
        *compute = compute.saturating_add(other.compute);
        *reads = reads.saturating_add(other.reads);
        *writes = writes.saturating_add(other.writes);
        *growth = growth.saturating_add(other.growth);
        *availability = availability.saturating_add(other.availability);
        *frames = frames.saturating_add(other.frames);
    }

    /// The smaller of both, meter by meter.
    pub fn min(&self, other: &Self) -> Self {
        let mut least = *self;
        for meter in Meter::ALL {
            *least.get_mut(meter) = self.get(meter).min(other.get(meter));
        }
        least
    }

    /// What is left of this limit after `used`.
    pub fn left(&self, used: &Self) -> Self {
        let mut left = *self;
        for meter in Meter::ALL {
            *left.get_mut(meter) = self.get(meter).saturating_sub(used.get(meter));
        }
        left
    }
}
