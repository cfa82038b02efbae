// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Tokens that are not as the standard has them, for the checks of Custody.sol.
abstract contract Ledger {
    uint8 public constant decimals = 9;
    mapping(address => uint256) public balanceOf;

    constructor() {
        balanceOf[msg.sender] = 1_000e9;
    }

    function move(address from, address to, uint256 amount) internal virtual {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// Keeps a hundredth of each transfer, and has a name of 32 bytes.
contract Fee is Ledger {
    bytes32 public constant symbol = "FEE";
    bytes32 public constant name = "Takes a fee";

    function move(address from, address to, uint256 amount) internal override {
        super.move(from, to, amount - amount / 100);
        super.move(from, address(this), amount / 100);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        move(from, to, amount);
        return true;
    }
}

/// Returns nothing, and has no name.
contract Silent is Ledger {
    function transfer(address to, uint256 amount) external {
        move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        move(from, to, amount);
    }
}

/// Does nothing, and says that it could not; its name is long.
contract Refusing is Ledger {
    string public constant symbol = unicode"REFUSING with a symbol of some lengthé";
    string public constant name = "";
    bool public willing;

    function become(bool willing_) external {
        willing = willing_;
    }

    function transfer(address to, uint256 amount) public returns (bool) {
        return transferFrom(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public returns (bool) {
        if (willing) move(from, to, amount);
        return willing;
    }
}

interface ICustody {
    function deposit(address token, uint256 amount, uint8 machine, bytes32 to) external returns (uint256);
    function withdraw(address token, uint256 amount, address to) external;
}

/// Comes back while it is asked to move: a deposit in a deposit would be counted twice, a withdrawal in
/// a withdrawal would give what is not there any more.
contract Again is Ledger {
    string public constant symbol = "AGAIN";
    string public constant name = "Comes back";
    bool public armed;

    function arm(bool armed_) external {
        armed = armed_;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (armed) ICustody(msg.sender).withdraw(address(this), 1, to);
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (armed) ICustody(msg.sender).deposit(address(this), 1, 1, bytes32(uint256(1)));
        move(from, to, amount);
        return true;
    }
}
