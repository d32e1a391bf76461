// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IPartnerRegistry} from "./interfaces/IPartnerRegistry.sol";

/// @title Partner registry
/// @dev The owner is the timelock, for good: whoever could hand it on would have a way around the delay.
contract PartnerRegistry is IPartnerRegistry {
    uint256 private constant MAX_PARTNERS = 2 ** 16;
    uint256 private constant MAX_NAME_BYTES = 64;
    uint256 private constant HOUSE = 0;

    /// @inheritdoc IPartnerRegistry
    address public immutable owner;
    /// @inheritdoc IPartnerRegistry
    uint256 public immutable maxBps;

    Partner[] private _partners;
    mapping(bytes32 nameHash => uint256 idPlusOne) private _idPlusOne;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotTimelock(msg.sender);
        _;
    }

    /// @param owner_ the timelock, who adds partners and sets their shares
    /// @param maxBps_ highest share a partner may have, basis points
    /// @param partners who is there from the start, ids 1 and up
    constructor(address owner_, uint256 maxBps_, InitialPartner[] memory partners) {
        if (owner_ == address(0)) revert ZeroAddress();
        if (maxBps_ > 10_000) revert BpsTooHigh(maxBps_, 10_000);
        owner = owner_;
        maxBps = maxBps_;
        // Nobody can claim for the house: its share stays 0, what its calls earn is the treasury's.
        _push("house", address(0), 0);
        for (uint256 i = 0; i < partners.length; ++i) {
            _add(partners[i].name, partners[i].payout, partners[i].bps);
        }
    }

    /// @inheritdoc IPartnerRegistry
    function addPartner(string calldata name, address payout, uint256 bps)
        external
        onlyOwner
        returns (uint256 id)
    {
        return _add(name, payout, bps);
    }

    /// @inheritdoc IPartnerRegistry
    function setBps(uint256 id, uint256 bps) external onlyOwner {
        uint256 highest = id == HOUSE ? 0 : maxBps;
        if (bps > highest) revert BpsTooHigh(bps, highest);
        _known(id).bps = uint16(bps);
        emit PartnerBpsChanged(id, bps);
    }

    /// @inheritdoc IPartnerRegistry
    function setPayout(uint256 id, address payout) external {
        Partner storage entry = _known(id);
        if (msg.sender != entry.payout) revert NotPayoutAddress(msg.sender);
        if (payout == address(0)) revert ZeroAddress();
        entry.payout = payout;
        emit PartnerPayoutChanged(id, payout);
    }

    /// @inheritdoc IPartnerRegistry
    function setActive(uint256 id, bool active) external onlyOwner {
        _known(id).active = active;
        emit PartnerActiveChanged(id, active);
    }

    /// @inheritdoc IPartnerRegistry
    function partner(uint256 id) external view returns (Partner memory) {
        return _known(id);
    }

    /// @inheritdoc IPartnerRegistry
    function idOf(string calldata name) external view returns (uint256) {
        uint256 idPlusOne = _idPlusOne[keccak256(bytes(name))];
        return idPlusOne == 0 ? 0 : idPlusOne - 1;
    }

    /// @inheritdoc IPartnerRegistry
    function count() external view returns (uint256) {
        return _partners.length;
    }

    /// @inheritdoc IPartnerRegistry
    function terms(uint256 id) external view returns (address payout, uint256 bps) {
        Partner storage entry = _known(id);
        return (entry.payout, entry.bps);
    }

    function _add(string memory name, address payout, uint256 bps) private returns (uint256 id) {
        if (payout == address(0)) revert ZeroAddress();
        if (bps > maxBps) revert BpsTooHigh(bps, maxBps);
        if (bytes(name).length == 0 || bytes(name).length > MAX_NAME_BYTES) revert InvalidName();
        if (_idPlusOne[keccak256(bytes(name))] != 0) revert NameTaken(name);
        if (_partners.length == MAX_PARTNERS) revert TooManyPartners();
        return _push(name, payout, bps);
    }

    function _push(string memory name, address payout, uint256 bps) private returns (uint256 id) {
        id = _partners.length;
        _partners.push(Partner({payout: payout, bps: uint16(bps), active: true, name: name}));
        _idPlusOne[keccak256(bytes(name))] = id + 1;
        emit PartnerAdded(id, name, payout, bps);
    }

    function _known(uint256 id) private view returns (Partner storage) {
        if (id >= _partners.length) revert UnknownPartner(id);
        return _partners[id];
    }
}
