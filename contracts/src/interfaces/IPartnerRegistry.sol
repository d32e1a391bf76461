// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Who the partners are and on what terms
/// @notice Partner 0 is the house, with 0 bps. Partners are deactivated, never removed: usage already metered is
/// still settled and paid.
interface IPartnerRegistry {
    /// @param payout where claims are paid
    /// @param bps share of gross, basis points, at most `maxBps`
    /// @param active whether routers should send new calls to the partner
    /// @param name the partner's name, unique
    struct Partner {
        address payout;
        uint16 bps;
        bool active;
        string name;
    }

    /// @notice A partner that is there from the start.
    /// @param name the partner's name, unique
    /// @param payout where claims are paid
    /// @param bps share of gross, basis points, at most `maxBps`
    struct InitialPartner {
        string name;
        address payout;
        uint256 bps;
    }

    event PartnerAdded(uint256 indexed id, string name, address payout, uint256 bps);
    event PartnerBpsChanged(uint256 indexed id, uint256 bps);
    event PartnerPayoutChanged(uint256 indexed id, address payout);
    event PartnerActiveChanged(uint256 indexed id, bool active);

    error UnknownPartner(uint256 id);
    error BpsTooHigh(uint256 bps, uint256 maxBps);
    error NameTaken(string name);
    error InvalidName();
    error NotPayoutAddress(address caller);
    /// @notice Only the timelock adds partners and sets their shares and activity.
    error NotTimelock(address caller);
    error TooManyPartners();
    error ZeroAddress();

    /// @notice Adds a partner; ids count up from 1 and stay below 2^16. Owner only.
    function addPartner(string calldata name, address payout, uint256 bps) external returns (uint256 id);

    /// @notice Changes a partner's share; it counts once the settlement's `applyTerms` took it over. Owner only.
    function setBps(uint256 id, uint256 bps) external;

    /// @notice Moves a partner's payouts; only its present payout address may.
    function setPayout(uint256 id, address payout) external;

    /// @notice Marks a partner as (in)active. Owner only.
    function setActive(uint256 id, bool active) external;

    /// @notice The timelock.
    function owner() external view returns (address);
    function partner(uint256 id) external view returns (Partner memory);
    /// @notice The id of a name, 0 if there is none.
    function idOf(string calldata name) external view returns (uint256);
    /// @notice Number of ids in use, the house included: ids run from 0 to count - 1.
    function count() external view returns (uint256);
    /// @notice Highest share a partner may have.
    function maxBps() external view returns (uint256);
    /// @notice Payout address and share; reverts for an unknown id.
    function terms(uint256 id) external view returns (address payout, uint256 bps);
}
