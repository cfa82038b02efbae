// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A contract whose constructor succeeds, fails or destroys, and that anybody may destroy.
contract Child {
    uint256 public pokes;
    /// The constructor leaves it as it is: where a child lived before, nothing of that is left.
    uint256 public marks;

    error Refused();

    constructor(uint256 mode) payable {
        if (mode == 1) revert Refused();
        if (mode == 2) selfdestruct(payable(msg.sender));
        if (mode == 3) assembly { invalid() }
        pokes = 1;
    }

    function poke() external {
        pokes += 1;
        marks += 1;
    }

    function destroy(address payable heir) external {
        selfdestruct(heir);
    }

    receive() external payable {}
}

/// Creates children. Every function but `attempt` reverts where what it is named after does not
/// come about.
contract Factory {
    uint256 public created;

    event Created(address child);

    error NotCreated();
    error CreatedTwice();
    error Undone();

    function create(uint256 mode) external payable returns (address child) {
        child = _create(mode);
        if (child == address(0)) revert NotCreated();
    }

    function create2(uint256 salt) external payable returns (address child) {
        child = _create2(salt, msg.value);
        if (child == address(0)) revert NotCreated();
    }

    /// The constructor may fail.
    function attempt(uint256 mode) external payable {
        _create(mode);
    }

    /// The child is destroyed in the transaction that creates it; until that ends its address stays
    /// taken.
    function createAndDestroy(uint256 salt, address payable heir) external payable {
        address child = _create2(salt, msg.value);
        if (child == address(0)) revert NotCreated();
        Child(payable(child)).destroy(heir);
        if (_create2(salt, 0) != address(0)) revert CreatedTwice();
    }

    /// The child is created, undone with the frame around it, and created again.
    function createTwice(uint256 salt) external payable {
        try this.createAndUndo{value: msg.value}(salt) {} catch {}
        address child = _create2(salt, msg.value);
        if (child == address(0)) revert NotCreated();
    }

    function createAndUndo(uint256 salt) external payable {
        Child(payable(_create2(salt, msg.value))).poke();
        revert Undone();
    }

    function _create(uint256 mode) private returns (address child) {
        bytes memory code = abi.encodePacked(type(Child).creationCode, mode);
        assembly {
            child := create(callvalue(), add(code, 32), mload(code))
        }
        created += 1;
        emit Created(child);
    }

    function _create2(uint256 salt, uint256 value) private returns (address child) {
        bytes memory code = abi.encodePacked(type(Child).creationCode, uint256(0));
        assembly {
            child := create2(value, add(code, 32), mload(code), salt)
        }
        created += 1;
        emit Created(child);
    }
}
