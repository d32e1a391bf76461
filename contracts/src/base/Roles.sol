// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";

/// @title Who may do what
/// @dev The owner is a timelock, for good: it appoints the others and registers verifiers, always later than anyone
/// needs to leave. The guardian only pauses, the operator only settles, the receipt signer has no rights in here.
abstract contract Roles is ISettlement {
    /// @dev One storage word that every batch reads. `anyFrozen` spares batches the look-up while nobody is frozen.
    struct Control {
        address operator;
        bool paused;
        bool anyFrozen;
    }

    /// @inheritdoc ISettlement
    uint256 public constant EXIT_PERIOD = 3 days;

    /// @dev Service deadlines that leaving may take if each request is answered at its last second, and with as little
    /// as the rules allow: an older announcement or request has to run out, the next one is served with what the tree
    /// has while the deposit is still pending, and only the third asks for what was consumed meanwhile.
    uint256 private constant DEADLINES_TO_LEAVE = 3;

    /// @inheritdoc ISettlement
    address public immutable owner;

    Control internal _control;
    /// @inheritdoc ISettlement
    address public guardian;
    /// @inheritdoc ISettlement
    address public receiptSigner;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotTimelock(msg.sender);
        _;
    }

    modifier onlyGuardian() {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        _;
    }

    modifier whenNotPaused() {
        if (_control.paused) revert IsPaused();
        _;
    }

    constructor(
        address owner_,
        address guardian_,
        address operator_,
        address receiptSigner_,
        uint256 serviceDeadline_
    ) {
        if (owner_ == address(0)) revert ZeroAddress();
        uint256 delay = TimelockController(payable(owner_)).getMinDelay();
        uint256 minimum = DEADLINES_TO_LEAVE * serviceDeadline_ + EXIT_PERIOD;
        if (delay < minimum) revert TimelockTooShort(delay, minimum);
        owner = owner_;
        _setGuardian(guardian_);
        _setOperator(operator_);
        _setReceiptSigner(receiptSigner_);
    }

    /// @inheritdoc ISettlement
    function pause() external onlyGuardian {
        _control.paused = true;
        emit Paused();
    }

    /// @inheritdoc ISettlement
    function unpause() external onlyGuardian {
        _control.paused = false;
        emit Unpaused();
    }

    /// @inheritdoc ISettlement
    function setGuardian(address newGuardian) external onlyOwner {
        _setGuardian(newGuardian);
    }

    /// @inheritdoc ISettlement
    function setOperator(address newOperator) external onlyOwner {
        _setOperator(newOperator);
    }

    /// @inheritdoc ISettlement
    function setReceiptSigner(address newReceiptSigner) external onlyOwner {
        _setReceiptSigner(newReceiptSigner);
    }

    /// @inheritdoc ISettlement
    function operator() external view returns (address) {
        return _control.operator;
    }

    /// @inheritdoc ISettlement
    function paused() external view returns (bool) {
        return _control.paused;
    }

    /// @inheritdoc ISettlement
    function anyFrozen() external view returns (bool) {
        return _control.anyFrozen;
    }

    function _setGuardian(address guardian_) private {
        if (guardian_ == address(0)) revert ZeroAddress();
        guardian = guardian_;
        emit GuardianChanged(guardian_);
    }

    function _setOperator(address operator_) private {
        if (operator_ == address(0)) revert ZeroAddress();
        _control.operator = operator_;
        emit OperatorChanged(operator_);
    }

    function _setReceiptSigner(address receiptSigner_) private {
        if (receiptSigner_ == address(0)) revert ZeroAddress();
        receiptSigner = receiptSigner_;
        emit ReceiptSignerChanged(receiptSigner_);
    }
}
