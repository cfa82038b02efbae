//! Drawing transactions.

use super::{
    Kind,
    block::Builder,
    contracts::{
        Birth, FACTORY, How, Inner, PAIRS, PROBE, PURSE, TOKENS, TRANSIENT, WALLET, call_with_list,
        child, run,
    },
    draft::{Amount, Authorize, Draft, Fault, Form, address},
    setup::{CROWD, RICH, fresh},
};
use crate::{
    Rng,
    abi::{call, word},
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip2935, eip4788, eip7002,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use polity_evm::spec::Fork;
use std::{collections::BTreeSet, sync::LazyLock};

/// How many salts the factory is called with.
const SALTS: u64 = 12;

/// The children by their salts.
static CHILDREN: LazyLock<Vec<Address>> = LazyLock::new(|| (0..SALTS).map(child).collect());

/// What most calls need at most. An engine may cut a block by its gas: where it is little, several
/// transactions are in one piece.
const CALL_GAS: u64 = 160_000;

/// What calls that create need at most, and several calls in one.
const CREATE_GAS: u64 = 500_000;

/// 10^17 wei: what a poor person gets at a time.
const GIFT: u64 = 100_000_000_000_000_000;

/// Draws the transactions of one block.
pub(super) struct Generator {
    rng: Rng,
    /// How many people send: few make a block in which all depends on all.
    crowd: usize,
    /// How many tokens are used.
    tokens: usize,
    /// How many salts children are created with: few make one child come and go often.
    salts: usize,
    /// Each kind as often as it weighs.
    urn: Vec<Kind>,
    /// Addresses that nothing is at before the block, but that several transactions may pay.
    strangers: [Address; 5],
    /// Who may take which token from whom.
    approvals: Vec<(usize, usize, usize)>,
    /// The salts of children that were there at some time.
    born: BTreeSet<usize>,
}

impl Generator {
    /// A generator whose mix of kinds is drawn for the block.
    pub(super) fn new(mut rng: Rng, fork: Fork) -> Self {
        let crowd = rng.pick(&[2, 4, 8, RICH]).copied().unwrap_or(RICH);
        let tokens = rng.pick(&[1, TOKENS.len()]).copied().unwrap_or(1);
        let salts = rng.pick(&[2, CHILDREN.len()]).copied().unwrap_or(2);
        let mut urn = vec![Kind::Transfer];
        match Kind::THEMES.get(rng.below(2 * Kind::THEMES.len())) {
            Some(theme) => urn.extend(theme.iter().filter(|kind| kind.is_in(fork))),
            None => {
                for kind in Kind::ALL.iter().filter(|kind| kind.is_in(fork)) {
                    let weight = rng.pick(&[0, 0, 0, 1, 1, 2, 4, 12]).copied().unwrap_or(1);
                    urn.extend(std::iter::repeat_n(*kind, weight));
                }
            }
        }
        let strangers = core::array::from_fn(|_| fresh(&mut rng));
        Self {
            rng,
            crowd,
            tokens,
            salts,
            urn,
            strangers,
            approvals: Vec::new(),
            born: BTreeSet::new(),
        }
    }

    /// Another transaction; `None` where the kind that was drawn has no occasion.
    pub(super) fn draw(&mut self, now: &Builder) -> Option<Draft> {
        for (salt, child) in CHILDREN.iter().enumerate() {
            if now.has_code(*child) {
                self.born.insert(salt);
            }
        }
        let kind = self.rng.pick(&self.urn).copied()?;
        self.draft(kind, now)
    }

    /// A transaction that may not be in the block.
    pub(super) fn draw_faulty(&mut self, now: &Builder) -> Option<Draft> {
        let fault = self.rng.pick(&Fault::ALL).copied();
        let draft = self.draft(Kind::Transfer, now)?;
        Some(Draft { fault, ..draft })
    }

    fn draft(&mut self, kind: Kind, now: &Builder) -> Option<Draft> {
        use Kind as K;
        let small = self.small();
        Some(match kind {
            K::Transfer => {
                let to = self.somebody(now);
                self.pay(kind, now, to, small)
            }
            K::TransferToFresh => {
                let to = self.stranger();
                self.pay(kind, now, to, small + 1)
            }
            K::TransferToSelf => {
                let draft = self.pay(kind, now, Address::ZERO, small);
                Draft { to: TxKind::Call(draft.sender()), ..draft }
            }
            K::TransferOfNothing => {
                let to = if small.is_multiple_of(2) { self.stranger() } else { self.somebody(now) };
                self.pay(kind, now, to, 0)
            }
            K::LeaveOneWei => self.spend(kind, now, 1),
            K::SpendAll => self.spend(kind, now, 0),
            K::FundPoor => {
                let poor = address(self.poor());
                self.pay(kind, now, poor, GIFT)
            }
            K::PoorSpends => {
                let poor = (RICH..CROWD)
                    .filter(|poor| now.balance(address(*poor)) >= U256::from(GIFT / 4));
                let from = self.rng.pick(&poor.collect::<Vec<_>>()).copied()?;
                let draft = if small.is_multiple_of(2) {
                    self.spend(kind, now, small)
                } else {
                    let to = self.somebody(now);
                    self.pay(kind, now, to, small)
                };
                Draft { from, ..draft }
            }
            K::FillPurse => self.pay(kind, now, PURSE, small),
            K::PayBeneficiary => self.pay(kind, now, now.beneficiary(), small),
            K::BeneficiaryPays => {
                let from = (0..CROWD).find(|person| address(*person) == now.beneficiary())?;
                let to = self.somebody(now);
                Draft { from, ..self.pay(kind, now, to, small) }
            }
            K::PayPrecompile => {
                let to = Address::with_last_byte(1 + (small % 9) as u8);
                let data = self.bytes(96);
                Draft { value: Amount::Wei(U256::from(small)), ..self.call(kind, now, to, data) }
            }
            K::TokenTransfer
            | K::TokenApprove
            | K::TokenTransferFrom
            | K::TokenMint
            | K::TokenOverdraw => self.token(kind, now)?,
            K::Swap | K::AddLiquidity => self.market(kind, now),
            K::Create => self.create(kind, now, Birth::Succeeds),
            K::CreateDestroyed => self.create(kind, now, Birth::Destroys),
            K::CreateFails if small.is_multiple_of(2) => self.create(kind, now, Birth::Reverts),
            K::CreateFails => self.create(kind, now, Birth::Halts),
            K::FactoryCreate
            | K::FactoryCreate2
            | K::FactoryAttempt
            | K::CreateAndDestroy
            | K::CreateTwice
            | K::Recreate
            | K::DestroyToOther
            | K::DestroyToSelf
            | K::Poke => self.factory(kind, now)?,
            K::Delegate
            | K::DelegateAgain
            | K::ClearDelegation
            | K::DelegateToDelegated
            | K::DelegateWrongNonce
            | K::DelegateSender
            | K::DelegateMany => self.delegate(kind, now)?,
            K::CallDelegated => {
                let to = self.delegated(now).map(address)?;
                let data = self.batch(now);
                let value = Amount::Wei(U256::from(small));
                Draft { value, gas_limit: CREATE_GAS, ..self.call(kind, now, to, data) }
            }
            K::Batch => {
                let data = self.batch(now);
                Draft {
                    value: Amount::Wei(U256::from(small)),
                    gas_limit: 3 * CREATE_GAS,
                    ..self.call(kind, now, WALLET, data)
                }
            }
            K::Transient => {
                let data = call("run(uint256)", &[U256::from(small % 4)]);
                self.call(kind, now, TRANSIENT, data)
            }
            K::BeaconRoot => {
                let data = words(now.timestamp());
                self.call(kind, now, eip4788::BEACON_ROOTS_ADDRESS, data)
            }
            K::History => {
                let data = words(now.number().saturating_sub(1));
                self.call(kind, now, eip2935::HISTORY_STORAGE_ADDRESS, data)
            }
            K::Exit => {
                // A public key of 48 bytes and an amount of 8.
                let data = Bytes::from(vec![(small % 251) as u8; 56]);
                let to = eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
                Draft { value: Amount::Wei(U256::ONE), ..self.call(kind, now, to, data) }
            }
            _ => self.probe(kind, now),
        })
    }

    /// A call by somebody, of any type.
    fn call(&mut self, kind: Kind, now: &Builder, to: Address, data: Bytes) -> Draft {
        let form = self.form(now, to);
        Draft {
            kind,
            from: self.rng.below(self.crowd),
            to: TxKind::Call(to),
            data,
            value: Amount::Wei(U256::ZERO),
            gas_limit: CALL_GAS,
            tip: self.rng.pick(&[0, 1, 1_000]).copied().unwrap_or_default(),
            form,
            fault: None,
        }
    }

    fn pay(&mut self, kind: Kind, now: &Builder, to: Address, wei: u64) -> Draft {
        let value = Amount::Wei(U256::from(wei));
        Draft { value, gas_limit: 60_000, ..self.call(kind, now, to, Bytes::new()) }
    }

    /// All but some wei, to where no code runs: so the gas, and what is left, are known.
    fn spend(&mut self, kind: Kind, now: &Builder, left: u64) -> Draft {
        let poor = address(self.poor());
        let stranger = self.stranger();
        let to = if self.rng.once_in(2) && !now.has_code(poor) { poor } else { stranger };
        Draft {
            value: Amount::AllBut(left),
            gas_limit: 21_000,
            form: Form::Legacy,
            ..self.call(kind, now, to, Bytes::new())
        }
    }

    fn form(&mut self, now: &Builder, to: Address) -> Form {
        let list = || {
            let storage_keys = (0..3_u8).map(B256::with_last_byte).collect();
            let beneficiary = AccessListItem { address: now.beneficiary(), storage_keys: vec![] };
            AccessList(vec![AccessListItem { address: to, storage_keys }, beneficiary])
        };
        match self.rng.below(16) {
            0..=4 => Form::Legacy,
            5..=6 => Form::AccessList(list()),
            7..=8 => Form::Dynamic(list()),
            9 if now.fork() >= Fork::Cancun => {
                let mut hash = keccak256(self.rng.next().to_be_bytes());
                hash.0[0] = 1;
                Form::Blob(hash)
            }
            _ => Form::Dynamic(AccessList::default()),
        }
    }

    fn small(&mut self) -> u64 {
        self.rng.next() % 1_000
    }

    fn bytes(&mut self, most: usize) -> Bytes {
        let length = self.rng.below(most);
        (0..length).map(|_| self.rng.next() as u8).collect()
    }

    fn poor(&mut self) -> usize {
        RICH.saturating_add(self.rng.below(CROWD - RICH))
    }

    /// An address that nothing is at, or was not before the block.
    fn stranger(&mut self) -> Address {
        let known = self.rng.pick(&self.strangers).copied().unwrap_or_default();
        if self.rng.once_in(4) { fresh(&mut self.rng) } else { known }
    }

    fn person(&mut self) -> Address {
        address(self.rng.below(self.crowd))
    }

    /// Any account at all, most likely a person.
    fn somebody(&mut self, now: &Builder) -> Address {
        match self.rng.below(16) {
            0 => self.stranger(),
            1 => now.beneficiary(),
            2 => PROBE,
            3 => WALLET,
            4 => CHILDREN.get(self.rng.below(CHILDREN.len())).copied().unwrap_or_default(),
            5 => address(self.poor()),
            6 => FACTORY,
            7 => PURSE,
            8 => self.stranger(),
            _ => self.person(),
        }
    }

    fn token(&mut self, kind: Kind, now: &Builder) -> Option<Draft> {
        let index = self.rng.below(self.tokens);
        let token = TOKENS.get(index).copied()?;
        let amount = U256::from(self.small());
        let to = if self.rng.once_in(4) { self.stranger() } else { self.person() };
        let transfer = |amount| call("transfer(address,uint256)", &[word(to), amount]);
        Some(match kind {
            Kind::TokenApprove => {
                let spender = self.rng.below(self.crowd);
                let amount = amount + U256::from(1_000);
                let arguments = [word(address(spender)), amount];
                let data = call("approve(address,uint256)", &arguments);
                let draft = self.call(kind, now, token, data);
                self.approvals.push((index, draft.from, spender));
                draft
            }
            Kind::TokenTransferFrom => {
                let (index, owner, spender) = self.rng.pick(&self.approvals).copied()?;
                let token = TOKENS.get(index).copied()?;
                let arguments = [word(address(owner)), word(to), amount / U256::from(4)];
                let data = call("transferFrom(address,address,uint256)", &arguments);
                Draft { from: spender, ..self.call(kind, now, token, data) }
            }
            Kind::TokenMint => self.call(kind, now, token, call("mint(uint256)", &[amount])),
            Kind::TokenOverdraw => self.call(kind, now, token, transfer(U256::from(u128::MAX))),
            _ => self.call(kind, now, token, transfer(amount)),
        })
    }

    fn market(&mut self, kind: Kind, now: &Builder) -> Draft {
        let pair = self.rng.pick(&PAIRS).map_or(Address::ZERO, |(pair, ..)| *pair);
        let amount = U256::from(1_000 + self.rng.next() % 1_000_000);
        let data = if kind == Kind::Swap {
            // Now and then the least is more than there can be.
            let least = if self.rng.once_in(10) { U256::MAX } else { U256::ZERO };
            let side = U256::from(self.rng.below(2));
            call("swap(bool,uint256,uint256)", &[side, amount, least])
        } else {
            call("add(uint256,uint256)", &[amount, amount])
        };
        self.call(kind, now, pair, data)
    }

    fn create(&mut self, kind: Kind, now: &Builder, birth: Birth) -> Draft {
        let value = Amount::Wei(U256::from(self.small()));
        let draft = self.call(kind, now, Address::ZERO, birth.init_code());
        let form = match draft.form {
            // These cannot create.
            Form::Blob(_) | Form::Delegation(_) => Form::Legacy,
            form => form,
        };
        Draft { to: TxKind::Create, value, gas_limit: CREATE_GAS, form, ..draft }
    }

    /// A salt with a child, or without.
    fn salt(&mut self, now: &Builder, suits: impl Fn(usize, bool) -> bool) -> Option<usize> {
        let salts: Vec<usize> = CHILDREN
            .iter()
            .enumerate()
            .take(self.salts)
            .filter(|(salt, child)| suits(*salt, now.has_code(**child)))
            .map(|(salt, _)| salt)
            .collect();
        self.rng.pick(&salts).copied()
    }

    fn factory(&mut self, kind: Kind, now: &Builder) -> Option<Draft> {
        let value = Amount::Wei(U256::from(self.small()));
        let heir = self.somebody(now);
        let mode = |birth: Birth| U256::from(birth as u8);
        let free = |_, lives: bool| !lives;
        let (to, data) = match kind {
            Kind::FactoryCreate => (FACTORY, call("create(uint256)", &[mode(Birth::Succeeds)])),
            Kind::FactoryAttempt => {
                let births = [Birth::Reverts, Birth::Halts, Birth::Destroys];
                let birth = self.rng.pick(&births).copied()?;
                (FACTORY, call("attempt(uint256)", &[mode(birth)]))
            }
            Kind::FactoryCreate2 => {
                (FACTORY, call("create2(uint256)", &[U256::from(self.salt(now, free)?)]))
            }
            Kind::Recreate => {
                let born = self.born.clone();
                let salt = self.salt(now, |salt, lives| !lives && born.contains(&salt))?;
                (FACTORY, call("create2(uint256)", &[U256::from(salt)]))
            }
            Kind::CreateTwice => {
                (FACTORY, call("createTwice(uint256)", &[U256::from(self.salt(now, free)?)]))
            }
            Kind::CreateAndDestroy => {
                let salt = self.salt(now, free)?;
                self.born.insert(salt);
                let arguments = [U256::from(salt), word(heir)];
                (FACTORY, call("createAndDestroy(uint256,address)", &arguments))
            }
            Kind::DestroyToOther | Kind::DestroyToSelf => {
                let child = CHILDREN.get(self.salt(now, |_, lives| lives)?).copied()?;
                let heir = if kind == Kind::DestroyToSelf { child } else { heir };
                (child, call("destroy(address)", &[word(heir)]))
            }
            _ => {
                let child = CHILDREN.get(self.salt(now, |_, lives| lives)?).copied()?;
                (child, call("poke()", &[]))
            }
        };
        let payable = to == FACTORY;
        let draft = self.call(kind, now, to, data);
        Some(if payable { Draft { value, gas_limit: CREATE_GAS, ..draft } } else { draft })
    }

    /// Somebody who has delegated.
    fn delegated(&mut self, now: &Builder) -> Option<usize> {
        let people: Vec<usize> =
            (0..CROWD).filter(|person| now.has_code(address(*person))).collect();
        self.rng.pick(&people).copied()
    }

    fn delegate(&mut self, kind: Kind, now: &Builder) -> Option<Draft> {
        let targets = [
            WALLET,
            WALLET,
            PROBE,
            TOKENS.first().copied()?,
            Address::with_last_byte(4),
            self.stranger(),
        ];
        let target = self.rng.pick(&targets).copied()?;
        let anybody = self.rng.below(CROWD);
        let to = if self.rng.once_in(2) { address(anybody) } else { self.somebody(now) };
        let draft = self.call(kind, now, to, Bytes::new());
        let authorize = |authority, to| Authorize {
            authority,
            to,
            any_chain: anybody.is_multiple_of(3),
            wrong_nonce: kind == Kind::DelegateWrongNonce,
        };
        let list = match kind {
            Kind::DelegateAgain => vec![authorize(self.delegated(now)?, target)],
            Kind::ClearDelegation => vec![authorize(self.delegated(now)?, Address::ZERO)],
            Kind::DelegateToDelegated => {
                vec![authorize(anybody, self.delegated(now).map(address)?)]
            }
            Kind::DelegateSender => vec![authorize(draft.from, target)],
            Kind::DelegateMany => vec![
                authorize(anybody, PROBE),
                authorize(self.rng.below(CROWD), target),
                authorize(anybody, target),
            ],
            _ => vec![authorize(anybody, target)],
        };
        Some(Draft { form: Form::Delegation(list), ..draft })
    }

    fn probe(&mut self, kind: Kind, now: &Builder) -> Draft {
        let cell = |rng: &mut Rng| U256::from(rng.below(4));
        let target = self.somebody(now);
        let data = match kind {
            Kind::Look | Kind::LookAtCodes => {
                let count = self.rng.below(4);
                let targets: Vec<Address> = (0..=count).map(|_| self.somebody(now)).collect();
                let signature =
                    if kind == Kind::Look { "look(address[])" } else { "codes(address[])" };
                call_with_list(signature, &targets)
            }
            Kind::LookAtOwn => call("own()", &[]),
            Kind::LookAtBeneficiary => call("beneficiary()", &[]),
            Kind::LookAtBlock => call("environment()", &[]),
            Kind::KeepBalance => {
                call("keep(uint256,address)", &[cell(&mut self.rng), word(target)])
            }
            Kind::BranchOnBalance => {
                // Just what it is, or a little more or less.
                let least = now.balance(target).saturating_add(U256::from(self.rng.below(3)));
                let least = least.saturating_sub(U256::ONE);
                call("branch(address,uint256)", &[word(target), least])
            }
            Kind::Copy => {
                let (from, to) = (cell(&mut self.rng), cell(&mut self.rng));
                call("copy(uint256,uint256)", &[from, to])
            }
            Kind::Clear => call("clear(uint256)", &[cell(&mut self.rng)]),
            Kind::Spin => call("spin(uint256)", &[U256::from(self.rng.below(400))]),
            Kind::OutOfGas => call("spin(uint256)", &[U256::from(100_000)]),
            Kind::ContractPays | Kind::PursePays => {
                call("pay(address,uint256)", &[word(target), U256::from(self.small())])
            }
            Kind::PayAndUndo => {
                call("payAndUndo(address,uint256)", &[word(target), U256::from(self.small())])
            }
            Kind::Refuse => call("refuse(uint256)", &[cell(&mut self.rng)]),
            _ => call("bump(uint256)", &[cell(&mut self.rng)]),
        };
        let contract = match kind {
            Kind::PursePays => PURSE,
            Kind::PayAndUndo | Kind::LookAtOwn if self.rng.once_in(2) => PURSE,
            _ => PROBE,
        };
        self.call(kind, now, contract, data)
    }

    /// A wallet's calls.
    fn batch(&mut self, now: &Builder) -> Bytes {
        let count = self.rng.below(4);
        let calls: Vec<Inner> = (0..=count).map(|_| self.inner(now)).collect();
        run(&calls)
    }

    fn inner(&mut self, now: &Builder) -> Inner {
        let hows = [How::Must, How::Must, How::May, How::May, How::Undone, How::Static];
        // What a delegated call writes lands in the wallet's own slots.
        let how = match self.rng.once_in(12) {
            true => How::Delegate,
            false => self.rng.pick(&hows).copied().unwrap_or(How::May),
        };
        let somebody = self.somebody(now);
        let amount = U256::from(self.small());
        let (to, data, value) = match self.rng.below(10) {
            0 => (PROBE, call("bump(uint256)", &[U256::ONE]), 0),
            1 => (somebody, Bytes::new(), self.small()),
            2 => {
                let transfer = call("transfer(address,uint256)", &[word(somebody), amount]);
                (TOKENS.first().copied().unwrap_or_default(), transfer, 0)
            }
            3 => {
                let arguments = [U256::ONE, amount + U256::from(1_000), U256::ZERO];
                let pair = PAIRS.first().map_or(Address::ZERO, |(pair, ..)| *pair);
                (pair, call("swap(bool,uint256,uint256)", &arguments), 0)
            }
            4 => (FACTORY, call("attempt(uint256)", &[amount % U256::from(4)]), 1),
            5 => (FACTORY, call("create2(uint256)", &[amount % U256::from(SALTS)]), 1),
            6 => {
                let child = CHILDREN.get(self.rng.below(CHILDREN.len())).copied();
                (child.unwrap_or_default(), call("destroy(address)", &[word(somebody)]), 0)
            }
            7 => (PROBE, call("refuse(uint256)", &[U256::ONE]), 0),
            8 => (PURSE, call("pay(address,uint256)", &[word(somebody), amount]), 0),
            _ => (PROBE, call_with_list("look(address[])", &[somebody]), 0),
        };
        Inner { to, value, data, how }
    }
}

/// A number as the whole input.
fn words(number: u64) -> Bytes {
    crate::abi::words(&[U256::from(number)]).into()
}
