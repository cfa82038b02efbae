// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// The gateway of a Polity chain: how a contract calls those of other machines, and what it sees
/// of the ledger that all machines share. docs/interop.md has the rules.
///
/// An account is the byte of a machine (1 Ethereum, 3 Solana) and 32 bytes of address.
interface IPolity {
    /// The gateway refuses what it is asked.
    error Refused(string reason);
    /// The callee was stopped by its machine. What a callee says that reverts by itself is
    /// passed on as it is.
    error Stopped(string reason);

    /// Calls an account of another machine in the name of the contract that asks. Ether that comes
    /// along goes to the account.
    function call(uint8 machine, bytes32 account, bytes calldata input)
        external payable returns (bytes memory output);
    /// The same, and the callee may act in the name of the contract that asks: sign for it, and
    /// spend what it has.
    function delegate(uint8 machine, bytes32 account, bytes calldata input)
        external payable returns (bytes memory output);
    /// The same as `call`, and nothing may change.
    function query(uint8 machine, bytes32 account, bytes calldata input)
        external view returns (bytes memory output);

    /// What an account of another machine is called here; recorded, so that it resolves.
    function aliasOf(uint8 machine, bytes32 account) external returns (address);
    /// What an address stands for.
    function accountOf(address name) external view returns (uint8 machine, bytes32 account);

    /// Forbids that other machines call the contract that asks, until `unlock`, or until the call
    /// from another machine or the transaction ends in which it was asked.
    function lock() external;
    function unlock() external;

    /// Issues an asset in the ledger, which the contract that asks may mint.
    function issue(bytes32 salt, uint8 decimals, string calldata symbol, string calldata name)
        external returns (bytes32 asset, address token);
    /// Mints an asset that the contract that asks issued.
    function mint(bytes32 asset, uint8 machine, bytes32 to, uint256 amount) external;
    /// Destroys what the contract that asks holds.
    function burn(bytes32 asset, uint256 amount) external;
    /// Sends what the contract that asks holds to an account of any machine.
    function send(bytes32 asset, uint8 machine, bytes32 to, uint256 amount) external;
    /// The address of an asset as an ERC-20 token; zero stands for the native asset.
    function tokenOf(bytes32 asset) external returns (address);
    /// Gives an account what was sent to its alias before that was recorded.
    function collect(bytes32 asset, address name) external;
}

/// What the alias of another machine's account is asked.
interface IForeign {
    function invoke(bytes calldata input) external payable returns (bytes memory output);
    function invokeDelegated(bytes calldata input) external payable returns (bytes memory output);
    function query(bytes calldata input) external view returns (bytes memory output);
}

IPolity constant POLITY = IPolity(0x0000000000000000000000000000706F6C697479);

/// Instructions for Solana's programs: what `POLITY.call(SOLANA, program, input)` takes as input.
library Solana {
    /// Solana's machine.
    uint8 internal constant MACHINE = 3;
    uint8 internal constant READ = 0;
    /// The account is the caller's alias, which signs. Only by `delegate`.
    uint8 internal constant SIGNER = 1;
    uint8 internal constant WRITE = 2;

    /// The gateway's program: the ledger's assets as tokens with the interface of SPL Token, and custody
    /// of SPL tokens.
    bytes32 internal constant GATEWAY = 0x03fe0847e7b8f389c05435ac9ce07546b3fe90733c1e08aeade1342000000000;
    /// Pays tokens out of custody: this, and the amount (8 bytes, little-endian). Accounts: who holds
    /// the asset (signs), where the tokens go (written), the mint, the account in custody (written), the
    /// token program, the owner of what is in custody.
    uint8 internal constant WITHDRAW = 132;

    /// An account that an instruction is given.
    struct Meta {
        bytes32 key;
        uint8 flags;
    }

    function encode(Meta[] memory metas, bytes memory data) internal pure returns (bytes memory input) {
        require(metas.length < 256, "too many accounts");
        input = abi.encodePacked(uint8(metas.length));
        for (uint256 i = 0; i < metas.length; i++) {
            input = abi.encodePacked(input, metas[i].flags, metas[i].key);
        }
        input = abi.encodePacked(input, data);
    }

    /// A number as Solana's programs read it: eight bytes, the lowest first.
    function le64(uint256 value) internal pure returns (bytes8) {
        require(value <= type(uint64).max, "more than 64 bits");
        uint64 reversed;
        for (uint256 i = 0; i < 8; i++) {
            reversed = (reversed << 8) | uint64((value >> (8 * i)) & 0xff);
        }
        return bytes8(reversed);
    }

    /// What Solana calls an account of Ethereum's: the key by which its programs know a contract
    /// that calls them.
    function keyOf(address account) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes32(uint256(uint160(account))), uint8(1), "polity/alias/solana"));
    }
}
