// Short ribbons rooted on the expressed face: one instance per hair.
in vec2 in_corner;      // along 0..1, side -1/+1
in vec3 in_root;
in vec3 in_direction;   // cm, root to tip
in vec2 in_kind;        // brightness, the hair's own shade
uniform float u_width;
out vec3 v_colour;
out float v_side;
void main() {
    vec3 d = in_direction + vec3(0.0, -0.35, 0.0) * length(in_direction) * in_corner.x;
    vec3 p = posed(in_root + d * in_corner.x, 0.0);
    vec3 t = normalize(u_head * d);
    vec3 side = normalize(cross(t, to_camera(p)) + vec3(1e-4)) * in_corner.y;
    vec3 n = normalize(u_head * (in_root + vec3(0.0, 0.0, 9.0)));
    gl_Position = clip(p + side * u_width * (1.0 - 0.8 * in_corner.x));
    v_colour = developed(hair_colour(p, t, n, u_hair * in_kind.x, 0.5 + 0.5 * in_corner.x, in_kind.y), 1.0).rgb;
    v_side = in_corner.y;
}
