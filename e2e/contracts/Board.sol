// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Keeps notes. Refuses in every way that a contract can, so that tools may decode it.
contract Board {
    struct Note {
        address author;
        string text;
    }

    event Posted(uint256 indexed id, address indexed author, string text);

    error TooLong(uint256 length, uint256 limit);

    address public owner;
    Note[] public notes;

    constructor(address owner_) payable {
        require(owner_ != address(0), "an owner is needed");
        owner = owner_;
    }

    receive() external payable {}

    function post(string calldata text) external payable returns (uint256 id) {
        if (bytes(text).length > 32) revert TooLong(bytes(text).length, 32);
        require(msg.value != 13, "an unlucky gift");
        id = notes.length;
        notes.push(Note(msg.sender, text));
        emit Posted(id, msg.sender, text);
    }

    function count() external view returns (uint256) {
        return notes.length;
    }

    function divide(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }

    function forever() external pure {
        for (uint256 i = 0; i < type(uint256).max; i++) {}
    }

    function surroundings()
        external
        view
        returns (uint256 number, uint256 time, uint256 chain, uint256 baseFee, address coinbase, uint256 prevrandao)
    {
        return (block.number, block.timestamp, block.chainid, block.basefee, block.coinbase, block.prevrandao);
    }

    function blob(uint256 index) external view returns (bytes32 hash, uint256 fee) {
        return (blobhash(index), block.blobbasefee);
    }
}
