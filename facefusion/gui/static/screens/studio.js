/** The screen studio. */

class Screen extends HTMLElement {}
customElements.define('ff-studio', Screen);
