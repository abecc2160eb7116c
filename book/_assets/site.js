// What the theme and ipywidgets leave undone. Runs in the head, before the theme's own scripts.

// Font Awesome would replace every <i class="fa …"> by an <svg>, which breaks ipywidgets' Play button and all that is
// linked to it. The theme's style sheet draws the same icons with its font.
window.FontAwesomeConfig = { autoReplaceSvg: false, observeMutations: false };

// From a folder (file://) a page may not fetch another: the search then shows titles without extracts.
if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
