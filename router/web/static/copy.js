/**
 * Buttons that copy: each element with `data-copy` gets one. Without this module the text is still there to select.
 */

for (const holder of document.querySelectorAll("[data-copy]")) {
  const text = (holder.querySelector("code") ?? holder).textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy quiet";
  button.textContent = "Copy";
  button.addEventListener("click", () => copy(text, holder, button));
  const frame = document.createElement("div");
  frame.className = "copied";
  holder.replaceWith(frame);
  frame.append(holder, button);
}

/**
 * Copies a text and says so on its button; if the browser does not let it, selects the text instead.
 *
 * @param {string} text what is copied
 * @param {Element} holder what shows it
 * @param {HTMLButtonElement} button what was pressed
 */
async function copy(text, holder, button) {
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    window.getSelection()?.selectAllChildren(holder);
    said = "Selected: copy it with your keyboard";
  }
  button.textContent = said;
  const status = document.getElementById("status");
  if (status) status.textContent = said;
  setTimeout(() => {
    button.textContent = "Copy";
    if (status) status.textContent = "";
  }, 4000);
}
