// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import "./Polity.sol";

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
    function decimals() external view returns (uint8);
}

/// Keeps ERC-20 tokens and issues an asset of the ledger for them, one to one, which every machine
/// sees and moves. Nobody owns the contract, and it takes no fee.
///
/// A token that lies can make only its own asset worthless. Of one that changes balances by itself,
/// less may come back than went in, for the last who asks; what it adds, and what is sent here without
/// a deposit, is nobody's.
contract Custody {
    /// The asset that stands for a token; zero before the first deposit.
    mapping(address token => bytes32) public assetOf;
    bool private entered;

    event Deposited(address indexed token, address indexed from, uint8 machine, bytes32 to, uint256 amount);
    event Withdrawn(address indexed token, address indexed from, address to, uint256 amount);

    // A token may call back while it is asked to move an amount that is being counted.
    modifier once() {
        require(!entered, "reentrant");
        entered = true;
        _;
        entered = false;
    }

    /// Takes tokens of the sender, and gives as much of the asset to an account of any machine.
    /// Returns how much arrived: a token may keep a part.
    function deposit(address token, uint256 amount, uint8 machine, bytes32 to)
        external once returns (uint256 arrived)
    {
        // Nobody is behind such an account, and nobody could give back what it gets.
        require(machine != 1 || uint256(to) >> 160 == 0, "no address of Ethereum");
        bytes32 asset = assetOf[token];
        if (asset == 0) {
            (string memory symbol, string memory name) = (text(token, "symbol()"), text(token, "name()"));
            (asset,) = POLITY.issue(bytes32(uint256(uint160(token))), IToken(token).decimals(), symbol, name);
            assetOf[token] = asset;
        }
        uint256 before = IToken(token).balanceOf(address(this));
        move(abi.encodeCall(IToken.transferFrom, (msg.sender, address(this), amount)), token);
        arrived = IToken(token).balanceOf(address(this)) - before;
        POLITY.mint(asset, machine, to, arrived);
        emit Deposited(token, msg.sender, machine, to, arrived);
    }

    /// Takes back the asset, which the sender has allowed this contract to spend, and gives the
    /// tokens out.
    function withdraw(address token, uint256 amount, address to) external once {
        bytes32 asset = assetOf[token];
        require(asset != 0, "unknown token");
        // The asset would be gone, and the tokens still here.
        require(to != address(this), "to custody");
        IToken view_ = IToken(POLITY.tokenOf(asset));
        require(view_.transferFrom(msg.sender, address(this), amount), "not transferred");
        POLITY.burn(asset, amount);
        move(abi.encodeCall(IToken.transfer, (to, amount)), token);
        emit Withdrawn(token, msg.sender, to, amount);
    }

    // How a token is called. Some have no name, some give it as 32 bytes, and the ledger takes no long ones.
    function text(address token, string memory what) private view returns (string memory) {
        (bool ok, bytes memory answer) = token.staticcall(abi.encodeWithSignature(what));
        if (!ok || answer.length < 32) return "";
        bytes memory found;
        uint256 length;
        if (answer.length == 32) {
            found = answer;
            while (length < 32 && found[length] != 0) length++;
        } else {
            found = bytes(abi.decode(answer, (string)));
            length = found.length;
        }
        if (length > 64) length = 64;
        // Not in the middle of a character of UTF-8.
        while (length > 0 && length < found.length && uint8(found[length]) & 0xc0 == 0x80) length--;
        bytes memory short = new bytes(length);
        for (uint256 i = 0; i < length; i++) short[i] = found[i];
        return string(short);
    }

    // Some tokens return nothing.
    function move(bytes memory data, address token) private {
        (bool ok, bytes memory answer) = token.call(data);
        require(ok && (answer.length == 0 ? token.code.length > 0 : abi.decode(answer, (bool))), "token refused");
    }
}
