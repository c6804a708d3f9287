"use strict";
// Draws the figures that are no SVG from the JSON beside them, with plotly. Without this script the
// tables remain.
document.querySelectorAll("figure.chart").forEach(function (figure) {
  if (figure.querySelector(".picture")) {
    return; // drawn already
  }
  var plot = figure.querySelector(".plot");
  function failed() {
    plot.textContent = "This figure could not be drawn. Its numbers are in the table below.";
  }
  try {
    var drawing = JSON.parse(figure.querySelector("script").textContent);
    // Not to be dragged or zoomed: a page that is scrolled by touch must not get caught in it.
    var settings = { displayModeBar: false, responsive: true, scrollZoom: false };
    Plotly.newPlot(plot, drawing.data, drawing.layout, settings).catch(failed);
  } catch (error) {
    failed();
  }
});
