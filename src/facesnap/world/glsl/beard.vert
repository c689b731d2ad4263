// Short ribbons rooted on the expressed face: one instance per hair.
in vec3 in_corner;      // along 0..1, side -1/+1, unused
in vec3 in_root;
in vec3 in_direction;   // cm, root to tip
in vec2 in_kind;        // brightness, bend
out vec3 v_world;
out vec3 v_tangent;
out vec3 v_strand;
out vec3 v_shell;
uniform float u_width;
void main() {
    vec3 d = in_direction + vec3(0.0, -0.35, 0.0) * length(in_direction) * in_corner.x;
    vec3 p = posed(in_root + d * in_corner.x, 0.0);
    vec3 t = normalize(u_head * d);
    vec3 view = u_shadow_pass ? vec3(0.0, 0.0, 1.0) : to_camera(p);
    v_world = p + normalize(cross(t, view) + vec3(1e-4)) * in_corner.y * u_width * (1.0 - 0.8 * in_corner.x);
    v_tangent = t;
    v_strand = vec3(in_corner.x, in_corner.y, in_kind.x);
    v_shell = normalize(u_head * (in_root + vec3(0.0, 0.0, 9.0)));
    gl_Position = clip(v_world);
}
