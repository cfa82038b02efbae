//! What happens on the sample chain, block by block.

use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use polity_analysis::abi::{self, word};

use super::{
    ChainError, Key,
    block::{Builder, Draft, End, Form},
    contracts,
};

const ETHER: u64 = 1_000_000_000_000_000_000;

fn ether(amount: u64) -> U256 {
    U256::from(ETHER) * U256::from(amount)
}

/// A call without a value.
fn call(from: Key, to: Address, data: Bytes) -> Draft {
    Draft {
        form: Form::Dynamic,
        from,
        to: TxKind::Call(to),
        value: U256::ZERO,
        data,
        gas_limit: 500_000,
        end: End::Success,
    }
}

/// A transfer of ether.
fn pay(from: Key, to: Address, value: U256) -> Draft {
    Draft { value, gas_limit: 50_000, ..call(from, to, Bytes::new()) }
}

/// A creation.
fn create(from: Key, data: Bytes) -> Draft {
    Draft { to: TxKind::Create, gas_limit: 2_000_000, ..call(from, Address::ZERO, data) }
}

impl Draft {
    fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    fn value(self, value: U256) -> Self {
        Self { value, ..self }
    }

    fn gas(self, gas_limit: u64) -> Self {
        Self { gas_limit, ..self }
    }

    fn ends(self, end: End) -> Self {
        Self { end, ..self }
    }
}

fn send(from: Key, token: Address, to: Address, amount: U256) -> Draft {
    call(from, token, abi::call("transfer(address,uint256)", &[word(to), amount]))
}

fn approve(from: Key, token: Address, spender: Address, amount: U256) -> Draft {
    call(from, token, abi::call("approve(address,uint256)", &[word(spender), amount]))
}

fn swap(from: Key, pair: Address, amount: U256, side: u64, minimum: U256) -> Draft {
    let arguments = [amount, U256::from(side), minimum];
    call(from, pair, abi::call("swap(uint256,uint256,uint256)", &arguments))
}

fn withdrawal(index: u64, address: Address, gwei: u64) -> Withdrawal {
    Withdrawal { index, validator_index: 100_u64.saturating_add(index), address, amount: gwei }
}

/// Adds every block.
pub(super) fn tell(chain: &mut Builder) -> Result<(), ChainError> {
    let [alice, bob, carol, dave, erin, frank, grace, heidi] = Key::ALL;
    let [gold, silver] = [0, 1].map(|nonce| alice.address().create(nonce));
    let factory = bob.address().create(1);
    let [wallet, oracle] = [0, 1].map(|nonce| carol.address().create(nonce));
    let pair_code: Bytes =
        [contracts::pair()?.as_ref(), gold.into_word().as_ref(), silver.into_word().as_ref()]
            .concat()
            .into();
    let salt = keccak256("gold and silver");
    let pair = factory.create2_from_code(salt, &pair_code);
    let stranger = Address::repeat_byte(0x51);

    // 1: transfers of three types, one to an address that does not exist yet; withdrawals.
    let list = AccessList(vec![AccessListItem {
        address: dave.address(),
        storage_keys: vec![B256::ZERO, B256::with_last_byte(1)],
    }]);
    chain.block(
        vec![
            pay(bob, dave.address(), ether(1)).form(Form::Legacy),
            pay(dave, stranger, ether(2)).form(Form::AccessList(list)),
            pay(erin, frank.address(), ether(3)),
            pay(frank, frank.address(), ether(4)),
        ],
        vec![
            withdrawal(0, alice.address(), 1_000_000_000),
            withdrawal(1, Address::repeat_byte(0x52), 32_000_000_000),
        ],
    )?;

    // 2: contracts; one creation fails for want of gas, one has no code and sends all it got back.
    let ephemeral = Bytes::from_static(&[0x33, 0xff]);
    chain.block(
        vec![
            create(alice, contracts::token()?),
            create(alice, contracts::token()?).form(Form::Legacy),
            create(bob, contracts::factory()?),
            create(carol, contracts::wallet()?),
            create(carol, contracts::oracle()?),
            create(dave, contracts::token()?).gas(60_000).ends(End::Halt),
            create(erin, ephemeral).value(ether(1)),
        ],
        vec![],
    )?;

    // 3: tokens; two transfers revert: too much, and a call that the token does not know.
    let thousand = ether(1_000);
    let mut drafts = Vec::new();
    for key in [bob, carol, dave, erin, frank] {
        drafts.push(send(alice, gold, key.address(), thousand));
        drafts.push(send(alice, silver, key.address(), thousand).form(Form::Legacy));
    }
    drafts.push(send(grace, gold, bob.address(), U256::ONE).ends(End::Revert));
    let unknown = abi::call("mint(uint256)", &[U256::ONE]);
    drafts.push(call(heidi, gold, unknown).ends(End::Revert));
    drafts.push(send(bob, gold, stranger, ether(5)));
    drafts.push(approve(bob, gold, carol.address(), ether(7)));
    let from_bob = [word(bob.address()), word(dave.address()), ether(6)];
    let take = abi::call("transferFrom(address,address,uint256)", &from_bob);
    drafts.push(call(carol, gold, take.clone()));
    drafts.push(call(carol, gold, take).ends(End::Revert));
    chain.block(drafts, vec![])?;

    // 4: the market, at an address known before (EIP-1014), and its liquidity.
    let input: Bytes = [salt.as_slice(), pair_code.as_ref()].concat().into();
    let liquidity = ether(100_000);
    let add = abi::call("add(uint256,uint256)", &[liquidity, liquidity]);
    let mut drafts = vec![
        call(bob, factory, input.clone()).gas(2_000_000),
        call(bob, factory, input).gas(2_000_000).ends(End::Revert),
        approve(alice, gold, pair, U256::MAX),
        approve(alice, silver, pair, U256::MAX),
        call(alice, pair, add),
    ];
    for key in [bob, carol, dave] {
        drafts.push(approve(key, gold, pair, thousand));
        drafts.push(approve(key, silver, pair, thousand));
    }
    chain.block(drafts, vec![withdrawal(2, alice.address(), 7)])?;

    // 5: swaps both ways; one asks too much, one has approved nothing.
    chain.block(
        vec![
            swap(bob, pair, ether(100), 0, ether(99)),
            swap(carol, pair, ether(50), 1, ether(49)),
            swap(dave, pair, ether(10), 0, ether(10)).ends(End::Revert),
            swap(erin, pair, ether(10), 0, U256::ZERO).ends(End::Revert),
            swap(bob, pair, ether(1), 1, U256::ZERO).form(Form::Legacy),
            swap(dave, pair, ether(30), 0, U256::ZERO),
        ],
        vec![],
    )?;

    // 6: Dave delegates to the wallet and pays with it in the same transaction; one authorization
    // has a wrong nonce and is passed over (EIP-7702).
    let nonce = chain.nonce(dave.address()).saturating_add(1);
    let list = vec![chain.authorize(dave, wallet, nonce)?, chain.authorize(erin, wallet, 99)?];
    let tip: Bytes = [word(heidi.address()), ether(1)]
        .iter()
        .flat_map(|word| word.to_be_bytes::<32>())
        .collect();
    let transfer = abi::call("transfer(address,uint256)", &[word(grace.address()), ether(3)]);
    let head = [word(silver), U256::ZERO].map(|word| word.to_be_bytes::<32>()).concat();
    let batch: Bytes = [head.as_slice(), transfer.as_ref()].concat().into();
    chain.block(
        vec![
            call(dave, dave.address(), tip.clone()).form(Form::Delegation(list)),
            call(dave, dave.address(), batch),
            pay(heidi, dave.address(), ether(2)),
            call(heidi, dave.address(), tip).ends(End::Revert),
        ],
        vec![],
    )?;

    // 7: blobs, and what a contract can learn of its block.
    let blob = |name: &str| {
        let mut hash = keccak256(name);
        hash.0[0] = 1;
        hash
    };
    chain.block(
        vec![
            call(frank, oracle, Bytes::new()).form(Form::Blobs(vec![blob("one"), blob("two")])),
            call(grace, oracle, Bytes::new()),
            pay(erin, oracle, ether(1)).gas(500_000),
        ],
        vec![],
    )?;

    // 8: a validator's exit is asked for (EIP-7002), and Dave's delegation is taken back by
    // somebody else's transaction.
    let exit: Bytes = [&[0xaa; 48][..], &[0; 8]].concat().into();
    let nonce = chain.nonce(dave.address());
    let list = vec![chain.authorize(dave, Address::ZERO, nonce)?];
    chain.block(
        vec![
            call(grace, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, exit).value(U256::ONE),
            call(heidi, stranger, Bytes::new()).form(Form::Delegation(list)),
            pay(heidi, dave.address(), U256::ONE),
        ],
        vec![withdrawal(3, erin.address(), 1)],
    )?;

    // 9: a busy block.
    let mut drafts = Vec::new();
    for (index, from) in [bob, carol, bob, carol, bob, carol].into_iter().enumerate() {
        let side = (index as u64) / 2 % 2;
        drafts.push(swap(from, pair, ether(5), side, U256::ZERO));
        drafts.push(send(from, gold, frank.address(), ether(1)));
        drafts.push(pay(from, grace.address(), U256::from(index)));
    }
    chain.block(drafts, vec![])?;

    // 10: no transactions at all.
    chain.block(vec![], vec![withdrawal(4, stranger, 5), withdrawal(5, stranger, 0)])
}
