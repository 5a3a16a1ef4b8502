package org.sightline.vla.finetune;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.sightline.formats.Printable;

/** Text of a page; whatever is given is escaped, and what is no letter is {@link Printable}. */
public final class Html {
  private final StringBuilder text = new StringBuilder();

  /**
   * Begins a page that loads nothing, in the style of reports.
   *
   * @param css rules besides
   */
  public Html begin(String title, String css) throws IOException {
    raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';");
    raw(" img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n");
    element("title", title);
    raw("<style>\n").raw(css).raw(resource("report.css"));
    return raw("</style>\n</head>\n<body>\n");
  }

  /** Ends it. */
  public Html end() {
    return raw("</body>\n</html>\n");
  }

  /** The text of a resource beside this class, or of any with a leading slash. */
  static String resource(String name) throws IOException {
    try (InputStream in = Html.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  /** Adds what is HTML already. */
  public Html raw(String html) {
    text.append(html);
    return this;
  }

  /** Adds {@code <tag>text</tag>} on a line of its own. */
  public Html element(String tag, String content) {
    return raw("<" + tag + ">").raw(escape(content)).raw("</" + tag + ">\n");
  }

  /** Opens a table, which scrolls by itself where the window is too narrow. */
  public Html table(List<String> headings) {
    raw("<div class=\"wide\"><table>\n");
    if (!headings.isEmpty()) {
      raw("<tr>");
      headings.forEach(heading -> raw("<th>").raw(escape(heading)).raw("</th>"));
      raw("</tr>\n");
    }
    return this;
  }

  /** Adds a row that begins with its name. */
  public Html row(String name, List<String> cells) {
    raw("<tr><th>").raw(escape(name)).raw("</th>");
    cells.forEach(cell -> raw("<td>").raw(escape(cell)).raw("</td>"));
    return raw("</tr>\n");
  }

  public Html endTable() {
    return raw("</table></div>\n");
  }

  static String escape(String text) {
    return Printable.lines(text)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }

  @Override
  public String toString() {
    return text.toString();
  }
}
