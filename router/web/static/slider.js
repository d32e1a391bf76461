// A slider beside a number field: whichever is moved, the other follows. Without scripts the field does alone.

for (const form of document.querySelectorAll("[data-slider]")) {
  const slider = form.querySelector("input[type=range]");
  const field = form.querySelector("input[type=number]");
  slider.closest("label").hidden = false;
  slider.addEventListener("input", () => (field.value = slider.value));
  field.addEventListener("input", () => (slider.value = field.value));
}
